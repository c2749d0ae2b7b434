package gossip

import (
	"errors"
	"sync"
)

// Handler gets a message of another node. It is called from one goroutine for each (peer, topic) and owns msg.
type Handler func(from int, msg []byte)

// Network is what the rooms of a replica see. Node numbers are node indexes, which a node has for life.
type Network interface {
	Self() int
	// N is one more than the highest index that a peer has. It grows when members come; below it there may be places that nobody has.
	N() int
	// Handle registers a topic. It must be called before the network starts and once for each topic.
	Handle(t Topic, fn Handler)
	// Send queues msg for one node. It never blocks; a message to Self or to nobody is dropped. The slice must not be
	// changed afterwards.
	Send(to int, topic string, msg []byte)
	// Broadcast queues msg for all other nodes.
	Broadcast(topic string, msg []byte)
}

// Topic is one kind of message.
type Topic struct {
	Name string
	// MaxBytes bounds one message. A peer that announces a larger one loses the stream before anything is allocated.
	MaxBytes int
	// Queue bounds the messages that wait for one peer. The default is 256.
	Queue int
	// QueueBytes bounds their bytes; one message always fits. The default is 4 MiB.
	QueueBytes int
}

func (t Topic) withDefaults() Topic {
	if t.Queue == 0 {
		t.Queue = 256
	}
	if t.QueueBytes == 0 {
		t.QueueBytes = 4 << 20
	}
	return t
}

// maxTopicName and maxMessage bound what a topic may ask for.
const (
	maxTopicName = 64
	maxMessage   = 64 << 20
)

func (t Topic) check() {
	if t.Name == "" || len(t.Name) > maxTopicName || t.MaxBytes < 1 || t.MaxBytes > maxMessage {
		panic("gossip: topic " + t.Name + " has no usable name or size")
	}
}

// Events are called as things happen, from any goroutine; nil functions are skipped. They must not block.
type Events struct {
	Connected    func(peer int)
	Disconnected func(peer int)
	Sent         func(peer int, topic string, bytes int)
	Received     func(peer int, topic string, bytes int)
	// Dropped: a message was thrown away because the queue was full.
	Dropped func(peer int, topic string)
	// Violation: a peer broke the protocol, for example with an oversized frame.
	Violation func(peer int, topic string, err error)
}

func (e Events) withDefaults() Events {
	if e.Connected == nil {
		e.Connected = func(int) {}
	}
	if e.Disconnected == nil {
		e.Disconnected = func(int) {}
	}
	if e.Sent == nil {
		e.Sent = func(int, string, int) {}
	}
	if e.Received == nil {
		e.Received = func(int, string, int) {}
	}
	if e.Dropped == nil {
		e.Dropped = func(int, string) {}
	}
	if e.Violation == nil {
		e.Violation = func(int, string, error) {}
	}
	return e
}

// Errors of a network.
var (
	ErrConfig   = errors.New("invalid gossip configuration")
	ErrOversize = errors.New("gossip frame is too large")
)

// queue holds what waits for one (peer, topic), the oldest first.
type queue struct {
	mu       sync.Mutex
	topic    Topic
	msgs     [][]byte
	bytes    int
	nonEmpty chan struct{} // holds a token while msgs is not empty
}

func newQueue(t Topic) *queue { return &queue{topic: t, nonEmpty: make(chan struct{}, 1)} }

// push adds a message and returns how many old ones made room for it.
func (q *queue) push(msg []byte) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.msgs) > 0 && (len(q.msgs) >= q.topic.Queue || q.bytes+len(msg) > q.topic.QueueBytes) {
		q.bytes -= len(q.msgs[0])
		q.msgs[0] = nil
		q.msgs = q.msgs[1:]
		dropped++
	}
	q.msgs = append(q.msgs, msg)
	q.bytes += len(msg)
	q.signal()
	return dropped
}

func (q *queue) pop() (msg []byte, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.msgs) == 0 {
		return nil, false
	}
	msg = q.msgs[0]
	q.msgs[0] = nil
	q.msgs = q.msgs[1:]
	q.bytes -= len(msg)
	if len(q.msgs) == 0 {
		q.msgs = nil // lets the array go
	} else {
		q.signal()
	}
	return msg, true
}

func (q *queue) signal() {
	select {
	case q.nonEmpty <- struct{}{}:
	default:
	}
}

// unpop puts a message back that could not be sent, as the oldest.
func (q *queue) unpop(msg []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.msgs = append([][]byte{msg}, q.msgs...)
	q.bytes += len(msg)
	q.signal()
}
