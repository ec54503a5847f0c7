"""A chat client on slixmpp, told what to do by lines of JSON on standard input; says what came by lines of JSON.

usage: slixmpp_client.py JID PASSWORD HOST PORT CA_FILE
in:  {"say": TEXT, "to": JID}    {"version": JID}    {"join": ROOM, "nick": NICK}
     {"command": NODE, "to": JID, "fields": {NAME: VALUE}}
out: {"online": JID}    {"from": JID, "type": TYPE, "body": TEXT, "json": TEXT or null}    {"version": NAME}
     {"joined": ROOM}    {"notes": [TEXT]}    {"failed": TEXT}
"""
import asyncio
import json
import sys

import slixmpp


def tell(**what):
    print(json.dumps(what), flush=True)


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password):
        super().__init__(jid, password)
        for plugin in ("xep_0030", "xep_0004", "xep_0045", "xep_0050", "xep_0092", "xep_0199"):
            self.register_plugin(plugin)
        self.add_event_handler("session_start", self.begin)
        self.add_event_handler("message", self.heard)
        self.add_event_handler("failed_all_auth", lambda _: tell(failed="password"))

    async def begin(self, _):
        self.send_presence()
        await self.get_roster()
        tell(online=str(self.boundjid))
        reader = asyncio.StreamReader(limit=1 << 20)
        await self.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            try:
                await self.told(json.loads(line))
            except Exception as error:
                tell(failed=f"{type(error).__name__}: {error}")
        self.disconnect()

    async def told(self, what):
        if "say" in what:
            kind = "groupchat" if "room" in what else "chat"
            self.send_message(mto=what["to"], mbody=what["say"], mtype=kind)
        elif "version" in what:
            answer = await self["xep_0092"].get_version(what["version"])
            tell(version=answer["software_version"]["name"])
        elif "join" in what:
            await self["xep_0045"].join_muc_wait(what["join"], what["nick"])
            tell(joined=what["join"])
        elif "command" in what:
            await self.command(what)

    async def command(self, what):
        answer = await self["xep_0050"].send_command(what["to"], what["command"])
        command = answer["command"]
        if command["status"] == "executing":
            form = self["xep_0004"].make_form(ftype="submit")
            for name, value in what["fields"].items():
                form.add_field(var=name, value=value)
            answer = await self["xep_0050"].send_command(
                what["to"], what["command"], action="complete", payload=form, sessionid=command["sessionid"]
            )
        tell(notes=[text for _, text in answer["command"]["notes"]])

    def heard(self, message):
        held = message.xml.find("{urn:xmpp:json:0}json")
        tell(
            **{"from": str(message["from"]), "type": message["type"], "body": message["body"]},
            json=None if held is None else held.text,
        )


jid, password, host, port, authority = sys.argv[1:]
client = Client(jid, password)
client.ca_certs = authority
client.connect((host, int(port)))
client.process(forever=False)
