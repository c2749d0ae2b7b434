//go:build byzantine

package replica

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"math/rand/v2"
	"slices"

	"fusion/btc/utxo"
	"fusion/ic/candid"
	"fusion/replica/certify"
	"fusion/replica/gossip"
	"fusion/replica/management"
	"fusion/replica/misdeed"
	"fusion/replica/outcalls"
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

// mined is what a block says of Bitcoin: the last of it altered, or with a header of nobody's work.
func mined(items utxo.Items) utxo.Items {
	if !misdeed.On(misdeed.FalseChain) {
		return items
	}
	if n := len(items.Blocks); n > 0 {
		items.Blocks = slices.Clone(items.Blocks)
		b := bytes.Clone(items.Blocks[n-1])
		b[len(b)-1] ^= 1
		items.Blocks[n-1] = b
		return items
	}
	header := make([]byte, 80)
	_, _ = crand.Read(header) // it never fails
	items.Headers = append(bytes.Clone(items.Headers), header...)
	return items
}

// told is a source of outcalls, or one that says something else than the world did.
func told(s outcalls.Source) outcalls.Source {
	if !misdeed.On(misdeed.FalseAnswers) {
		return s
	}
	return func(ctx context.Context, q outcalls.Request) outcalls.Answer {
		a := s(ctx, q)
		var res management.HTTPResponse
		switch {
		case a.RejectCode != 0:
			return outcalls.Rejection(a.RejectCode, "false")
		case q.Kind == outcalls.Height:
			if h, err := outcalls.ReadHeight(a.Reply); err == nil {
				return outcalls.HeightAnswer(h + 1_000_000)
			}
		case q.Kind == outcalls.HTTP && candid.Unmarshal(a.Reply, &res) == nil:
			for i := range res.Body {
				res.Body[i] ^= 1
			}
			return outcalls.Answer{Reply: candid.MustMarshal(res)}
		case len(a.Reply) > 0:
			a.Reply = bytes.Clone(a.Reply)
			a.Reply[rand.IntN(len(a.Reply))] ^= 1
		}
		return a
	}
}
