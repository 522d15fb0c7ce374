// Package host runs restored databases: it gives each a folder, a user, a port
// and a socket, starts a server on it, keeps that server running, and finds it
// again after a restart of the agent.
//
// A restore fills a [Slot], and a slot's bytes come from outside: they are
// hostile until somebody has said otherwise. So a server never runs as root. As
// root the host gives every slot a uid of its own (a number; it needs no passwd
// entry), and only that uid reaches the slot's data:
//
//	<root>/                 0711  ours
//	  .lock                       held while a slot is made: ports, uids
//	  <instance>/           0711  ours; the server cannot write here
//	    slot.json           0600  the marker: without it the folder is not ours
//	    state.json          0600  is it wanted; process id and start time
//	    lock                0600  held by whoever starts or ends the server
//	    my.cnf              0644  no secrets, allow-listed options only
//	    credentials.cnf     0600  the agent's account
//	    server.log          0600  what the server says
//	    plugins/            0555  empty: no library of the source is loaded
//	    data/ run/ tmp/     0700  the slot's uid's
//
// A server starts on loopback, with the event scheduler off, replication
// stopped, symbolic links and plug-ins unusable. The accounts in it are the
// source's. The agent's own is made by an init file of the first start, before
// the server takes a connection, so there is no time without access control.
//
// A server is in a session of its own and outlives the agent: nothing here ends
// one because a context or a process ended. [Host.Adopt] finds it again by
// process id, kernel start time, boot id, command line and uid together, so a
// reused process id is never taken for a server and never signalled. (A service
// manager that ends a whole control group with the agent must be told not to:
// KillMode=process with systemd.) [Host.Run] starts a crashed server again, with
// growing pauses, for as long as it is wanted.
package host
