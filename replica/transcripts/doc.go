// Package transcripts makes the keys and presignatures of package chainkey/idkg in a replica, and signs with them. Package signing, whose keys they
// are, owns requests and votes; here are the sharings.
//
// # Machine: the deterministic half
//
// A Machine keeps its state in a kv.Store. Members of an epoch register, in items of blocks, the keys to which dealings are encrypted for them,
// each with a proof of possession, for that epoch alone. A round is some sharings that are made together, in one stage or in two:
//
//	key generation   random, then reshare of masked
//	resharing        reshare of unmasked, by the members of another epoch
//	presignatures    kappa and lambda, then the products; of up to 16 presignatures at once; Schnorr takes one stage
//
// An item ends a stage: it carries the dealings, whole, with the supports that certify them, and every replica computes the same transcripts from them. So
// whoever has the blocks, or a copy of the state, has all that shares are computed from, and nobody asks anybody for what it missed. That costs 4 kB of block
// for an ECDSA presignature at four members, 30 kB at thirteen; batches are as large as an item of 700 KiB holds.
//
// Advance keeps a pool of Config.Depth presignatures per key; while requests are served it is refilled when half is gone. A stage that is not made in time is given up, and its serials with it. Take binds the
// oldest presignature to a request for ever; Spend removes it with all that was stored of it.
//
// # Driver: the other half
//
// A Driver deals when it is this node's turn, or when those whose turn it is are silent; checks others' dealings, and supports them in one signature;
// offers the item that ends a stage; loads its shares out of the state; and makes, moves and combines shares of signatures.
//
// What must survive a crash is written before it has an effect: the receiver's key before it is registered, what is supported before the support is sent
// (keystore.Store.Bind), and so is what a presignature signs before a share of it is computed. Shares of presignatures are in memory alone: a
// restarted node decrypts them again. What was taken before this boot was ordered is let be unless the record says what it signed; the request
// gets another presignature when nobody else signs it in time.
//
// Who finds a bad share of its own in a dealing of a block complains to the others, who open theirs to it, and to a block. Proof of a lie (a dealing
// that no honest member makes, a complaint that is right or one that is false, an opening or a share of a signature that does not fit) goes into a
// block as an accusation, which everybody checks: while its round stands, and of a share of a signature while its request is open, or ends in that block.
//
// # Lives
//
// A recovery begins another life of the subnet (package recovery). Everything but the receivers' keys is bound to it: sharings by their roster
// (idkg.Roster.InLife), requests, items, beacons. Renew destroys all presignatures and what was being made: in lost blocks they may have served. The keys in force
// go on under other names (idkg.Transcript.InLife), with the shares out of the key stores. A node without its receiver's key, of which there are no
// backups, takes part again when the keys are reshared; while 2f+1 members have theirs, signing goes on.
//
// When an epoch is over its receivers' keys are erased: dealings that old blocks and disks keep stay closed for ever.
package transcripts
