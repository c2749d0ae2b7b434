// Package faults describes experiments with networks to which bad things happen: a Manifest in TOML says how many replicas there are, what they
// work at, and which perturbations hit them when. Parse reads a manifest and refuses what it does not know; Generate makes one from a seed, Scenario returns one that has a name.
//
//	name = "split"                the experiment's name
//	nodes = 4                     replicas: 1, or 4 to 13
//	scheme = "gg18"               of threshold ECDSA, or "idkg" for all keys that sign
//	chains = ["bitcoin"]          what the network follows
//	hosts = "namespaces"          each replica on a host of its own, in a network namespace (package hosts); without it all on one
//	[links]                       between the replicas; without it as fast as the machine
//	delay = "20ms"                one way
//	jitter = "5ms"                on top of it at most
//	loss = 0.01                   share of packets that are sent again, which takes 200 ms and holds up what follows; that are lost, between hosts
//	[load]                        what clients ask for meanwhile
//	payers = 1                    clients that transfer without a pause
//	deposits = 1                  each is minted by the end
//	redemptions = 1               each is paid, or paid back, by the end
//	bulk = 0                      more clients that transfer, whose payments are many
//	share = 0.7                   of what those can do, which is measured before; without it all
//	[[perturb]]                   as many as one likes
//	name = "split"                for after; the default is the kind and the place in the list
//	kind = "partition"
//	groups = [[0, 1], [2, 3]]     of partition; all others have nodes = [...]
//	at = 10                       begins when so many blocks were made since the beginning
//	time = "5m"                   begins when so much time has passed since the beginning
//	after = "kill-1"              begins when that one has ended; with none of these, after the one above
//	for = "3s"                    how long it lasts at least
//
// The kinds:
//
//	kill         SIGKILL; started again after for
//	pause        SIGSTOP; SIGCONT after for
//	restart      SIGTERM, which has to end the process with exit code 0; started again after for
//	disconnect   the nodes and all others lose their connections and get no new ones; on hosts of their own their interfaces are down
//	partition    the nodes of a group reach each other only; what they say to others arrives when it is over
//	slow-disk    each fsync takes longer by sync = "50ms"
//	clock-skew   the wall clock is off by skew = "-30s"
//	upgrade      one node after the other is stopped through its operator's interface and goes on as another program = "name"
//	upgrade-protocol  upgrade of all nodes to a program with the next version of the protocol, after all else; ends when it is in force everywhere
//	chain-pause  SIGSTOP of the Bitcoin node, SIGCONT after for; ends when the replicas have seen a new block of it
//	chain-kill   SIGKILL of it; started again after for; ends likewise
//	byzantine    the nodes, at most f, do wrong: misdeeds = ["equivocate", "flood"]; ends when the others' metrics show each of them
//
// slow-disk and clock-skew run a replica as the program that the command in the folder build makes: the same sources with another standard library.
// byzantine runs it as one that is built with the tag byzantine (package misdeed), upgrade-protocol as one with the tag nextprotocol.
//
// Run carries out an experiment on a copy of the golden network, with a process for each replica. The replicas reach each other through links,
// or as hosts through a switch, that Run owns and that delay, hold and cut; Bitcoin and the clients are reached directly. Clients who get no answer turn to the next replica.
// A perturbation ends when its time is over and the replicas that nothing hits, if they have a quorum, have made two blocks: without that the
// experiment does not pass. After it all have to be healthy and to certify new blocks. All the time, and at the end, has to hold:
//
//   - replicas at the same block have the same state;
//   - the replicas' memory does not grow, in an experiment of twenty minutes or more;
//   - each payment was made once (of the bulk all that were confirmed and none that was not asked for), each deposit minted once, each burn is paid or paid back, and the minter knows all that it accepted;
//   - balances sum up to the supply, and the minter's addresses hold at least as much;
//   - no process ended by itself, SIGTERM ends each with exit code 0, no log has an error or a panic, and no replica joined a session twice.
//
// The caller allows for a busy machine by the deadline of the context, for nothing else in an experiment is a matter of time.
package faults
