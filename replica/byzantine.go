//go:build byzantine

package replica

import (
	"bytes"
	crand "crypto/rand"
	"math/rand/v2"

	"fusion/replica/certify"
	"fusion/replica/gossip"
	"fusion/replica/misdeed"
	"fusion/replica/vetkeys"
)

// shares are the topics with shares and with messages of ceremonies.
var shares = map[string]bool{certify.Topic: true, vetkeys.Topic: true, signingTopic: true, dkgTopic: true}

// rubbish is how many messages a flood adds to each.
const rubbish = 50

// wireOf is gossip as the replica's rooms use it.
func wireOf(n gossip.Network) gossip.Network { return wire{n} }

type wire struct{ gossip.Network }

func (w wire) Broadcast(topic string, msg []byte) {
	for i := range w.N() {
		w.Send(i, topic, msg)
	}
}

func (w wire) Send(to int, topic string, msg []byte) {
	if shares[topic] && misdeed.On(misdeed.Withhold) {
		return
	}
	if shares[topic] && misdeed.On(misdeed.FalseShares) && len(msg) > 0 {
		msg = bytes.Clone(msg)
		msg[rand.IntN(len(msg))] ^= 1 << rand.IntN(8)
	}
	w.Network.Send(to, topic, msg)
	if misdeed.On(misdeed.Flood) {
		for range rubbish {
			b := make([]byte, len(msg))
			_, _ = crand.Read(b) // it never fails
			w.Network.Send(to, topic, b)
		}
	}
}

// proposed is a block's items as they are proposed: one of them altered, or with one that is none.
func proposed(items [][]byte) [][]byte {
	if !misdeed.On(misdeed.FalseBlocks) {
		return items
	}
	if len(items) == 0 {
		return [][]byte{{0xff}}
	}
	i := rand.IntN(len(items))
	items[i] = bytes.Clone(items[i])
	items[i][rand.IntN(len(items[i]))] ^= 1 << rand.IntN(8)
	return items
}
