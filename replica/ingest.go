package replica

import (
	"time"

	"fusion/internal/codec"
	"fusion/replica/gossip"
)

// batcher gossips the calls that users gave to this replica, a few milliseconds' worth at a time: one message for each
// call would cost more than the call.
type batcher struct {
	r  *Replica
	in chan []byte
}

const (
	ingressTopic    = "ingress"
	maxIngressBatch = 4 << 20
	batchWindow     = 5 * time.Millisecond
	// batchQueue bounds the calls that wait to be gossiped. When it is full a call is not lost, only slower: this replica
	// proposes it itself.
	batchQueue = 8192
)

func newBatcher(r *Replica) *batcher {
	b := &batcher{r: r, in: make(chan []byte, batchQueue)}
	r.wire.Handle(gossip.Topic{Name: ingressTopic, MaxBytes: maxIngressBatch + 1<<16, QueueBytes: 16 << 20}, func(from int, msg []byte) {
		var raws [][]byte
		if err := codec.Unmarshal(msg, &raws); err != nil {
			r.log.Warn("ingress batch refused", "peer", from, "err", err)
			return
		}
		if _, err := r.pool.AddBatch(raws); err != nil {
			r.log.Warn("gossiped ingress refused", "peer", from, "err", err)
		}
	})
	return b
}

func (b *batcher) add(raw []byte) {
	select {
	case b.in <- raw:
	default:
	}
}

func (b *batcher) run() {
	for {
		var batch [][]byte
		size := 0
		take := func(raw []byte) { batch, size = append(batch, raw), size+len(raw) }
		select {
		case <-b.r.ctx.Done():
			return
		case raw := <-b.in:
			take(raw)
		}
		window := time.NewTimer(batchWindow)
	collect:
		for size < maxIngressBatch/2 {
			select {
			case raw := <-b.in:
				take(raw)
			case <-window.C:
				break collect
			case <-b.r.ctx.Done():
				window.Stop()
				return
			}
		}
		window.Stop()
		b.r.wire.Broadcast(ingressTopic, codec.Marshal(batch))
	}
}
