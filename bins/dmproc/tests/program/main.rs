//! leela-dmproc through its real program.

#[cfg(test)]
mod bed;

mod proc_socket;
mod promises;
