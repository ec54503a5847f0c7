module dogstatsd-client

go 1.21

require github.com/DataDog/datadog-go/v5 v5.9.1
