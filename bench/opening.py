"""The text that the page begins with: how it is measured, and what each contestant is made to do."""

from typing import Final

OPENING: Final = """# Benchmarks

Written by `make bench` (`python -m bench`); do not edit. The figures are those of one run on one machine, and hold for
nothing else. What can be compared are the ratios and differences between contestants of the same run: they met the same
machine, in alternating rounds.

To repeat it: `make rivals` installs LiteLLM and Portkey in environments of their own, Debian's packages nginx-light,
squid-openssl, wrk and redis-server are used if they are there, and `make bench` runs all. What is missing is a row that
says so. `python -m bench --only SECTION,… --against NAME,… --rounds N --quick` runs parts. With `--resume DIR` each
section is kept in DIR as soon as it is there, so that a run that broke off goes on where it was, at the same commit
only; the page then says which sections are of which run.

## How it is measured

- One core for the proxy, another one for the load generator and the upstream (`sched_setaffinity`). With more cores, a
  proxy with several threads could do more than it may here.
- Clients do what SDKs do: CONNECT, TLS inside it with the name checked, HTTP/1.1 keep-alive. The upstream speaks
  HTTP/1.1 and HTTP/2 over TLS, on loopback; it answers at once where nothing else is said, so every microsecond that
  shows is the proxy's.
- Not all are asked alike, as not all can be; the tables say how. **TLS without CONNECT** (nginx) spares a proxy the
  making of certificates and one round trip for each connection, but nothing for each call. **Plain HTTP** (LiteLLM,
  Portkey: that is how they are deployed) spares them TLS on the clients' side, for each call: they have the easier
  task. Only Skinflint, mitmdump and squid with ssl-bump read calls that clients believe to be going straight to the
  provider.
- Every answer is compared byte for byte with what it must be, and names the call that it belongs to. LiteLLM writes
  answers anew and compresses them, so that of its answers the id and the text are compared. Every streamed event must
  come once and in order. A wrong byte of Skinflint or mitmdump ends the run without a report, one of another rival
  makes its row say so.
- Connections are opened, and each contestant warmed up, before the time that counts. All contestants of a section are
  up at the same time, except with many streams; one at a time is asked.
- `median (least–most)` over the rounds. A ratio is taken round by round, between rounds that followed one another.
  "Skinflint's, relative" is Skinflint's figure over that of the row.
- CPU is user and system time of the process with all its threads and children, by their own clocks; "core" is its share
  of one core. Who leaves much of it idle was held back by something else.
"""

CONTESTANTS: Final = """## The contestants

- **Skinflint** runs as it is installed, with its ledger and metrics on, and `log.level=warning`; rows named "info log"
  have the default, which logs a line for each call.
- **Stock mitmdump** has the smallest addon that does the same work, `-q`, and `flow_detail=0`. The clients offer
  HTTP/1.1 alone, so mitmdump speaks HTTP/1.1 to the upstream as well, which costs it less than HTTP/2 would. It neither
  meters nor records what passes.
- **Portkey** is the open-source gateway, `NODE_ENV=production`; headers of each call name the provider and its address.
  Its open-source build has no cache, so that it forwards what the others answer from memory: a hit that Skinflint has
  and Portkey has not is compared with the least that Portkey can do for the same call.
- **LiteLLM** is its proxy with one worker, a master key, its local cache for hits (and none elsewhere), no database,
  and its log at ERROR.
- **squid** has one process, no disk and no access log. With ssl-bump it opens the clients' TLS, as Skinflint does, and
  forwards over kept TLS connections; it neither looks into bodies nor keeps answers to POST. As a tunnel it relays TLS
  that it cannot read.
- **nginx** has one worker, no access log, `proxy_cache` of POST keyed on path, key and body for hits, `proxy_pass` over
  kept TLS connections for the rest, `proxy_buffering off` for streams. It is no forward proxy, names one provider only,
  and counts nothing; it shows what a server in C makes of the same bytes.
"""
