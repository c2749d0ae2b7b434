// Package bls holds the subnet's BLS12-381 threshold key: the distributed key generation that makes it and the shares,
// combined signatures and checks that use it. It signs state roots (certificates) and the random beacon. The same generation makes
// the keys that package vetkd derives from.
//
// # Signatures
//
// The ciphersuite is the Internet Computer's, BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_ of
// draft-irtf-cfrg-bls-signature: signatures are points of G1 (48 bytes compressed), public keys of G2 (96 bytes). One
// key has many roles, so everything that is signed is a Message with a length-prefixed domain; a signature for one
// role means nothing in another. Threshold signatures are unique: whichever 2f+1 shares are combined, the bytes are
// the same, which is why nobody has to agree on them. A caller combines first and checks the one result; only if that
// fails it looks for the bad share with BadShares.
//
// # Key generation
//
// The board is a deterministic machine over committed blocks (Start, Open, Board.Step, Board.Check): everybody who has the
// blocks, members or not, early or late, computes the same qualified dealers, polynomial and public key. An attempt has
// three phases, and each ends when all expected items are there or its deadline, a height, is reached:
//
//	keys       each node registers a fresh receiver key for this attempt, with a proof that it owns it
//	deals      each registered node commits to a polynomial of degree t-1 and encrypts one share to each receiver
//	responses  each receiver accepts all deals but those it complains about
//
// A complaint opens the receiver's shared secret with that dealer, with a proof that it is the right one, so everybody
// decrypts the bad share and drops the dealer: nobody can be accused falsely, and no dealer has to be online to defend
// itself. (The general purpose ceremony of kyber's share/dkg has a justification phase instead, and can only be evaluated by
// holders of a private key; here its group and polynomials are used and the board is our own.) A dealer proves that it
// knows the exponent of its ephemeral key: otherwise it could copy an honest dealer's and harvest, from the complaints it
// provokes, the secrets that open the honest deals. With fewer than t registered nodes, qualified dealers or
// responses the next attempt starts with new secrets and twice the time.
//
// A Member is the private side. Everything it says is derived from one seed, so a node that crashes in the middle says the
// same again. As in every joint-Feldman key generation the last dealer can bias the public key; for BLS that gives no
// forgery.
//
// # Resharing
//
// A board with Params.Old hands a key to the nodes of a new epoch. Dealers are then the old epoch's nodes, each of whom must commit to its very
// share, and the new polynomial is the interpolation of as many good dealings as the old threshold: the key stays, signatures are the same
// bytes. Receivers are the new nodes, with fresh keys, and all of them must confirm; otherwise the next attempt starts and Status says who was
// missing. The old shares sign as long as the caller says so; Move puts the finished board in the place of the old one.
//
// # The caller's duties
//
//   - persist the seed (fsync) before the first item leaves, in the key store and not in replicated state;
//   - let Process refuse blocks with an item for which Check fails, and call Step once for each block;
//   - ask Member.Pending after each commit, and put items of any node into the next proposal;
//   - persist the share that Member.Share returns, then erase the seed; the deals stay on the board until Erase.
//
// Deadlines must be generous: a correct node that is silent during the responses may end without a share if a dealer cheats
// at the same time, and 2f+1 of 3f+1 leaves no spare share when f nodes are bad.
//
// The package is pure: no goroutine, clock, or socket. It does not erase secrets from memory reliably: the Go runtime may
// have copied them.
package bls
