package replica

import (
	"fmt"
	"time"

	"fusion/replica/gossip"
	"fusion/replica/machine"
	"fusion/replica/payload"
	"fusion/replica/signing"
)

// signer joins package signing's two halves to this replica: committed state goes in, messages go over gossip, items go into
// proposals.
type signer struct {
	r      *Replica
	m      *signing.Machine
	driver *signing.Driver
}

const (
	signingTopic = "signing"
	// The largest message of a ceremony is a key generation's round of Paillier proofs for 40 members.
	maxSigningMessage = 4 << 20
)

// transport is gossip as ceremonies use it.
type transport struct{ net gossip.Network }

func (t transport) Self() int               { return t.net.Self() }
func (t transport) Send(to int, msg []byte) { t.net.Send(to, signingTopic, msg) }

func newSigner(r *Replica) (*signer, error) {
	cfg := signing.FromGenesis(r.doc, r.life())
	cfg.Memo = r.dealings
	m, err := signing.NewMachine(cfg)
	if err != nil {
		return nil, err
	}
	s := &signer{r: r, m: m}
	log := r.log
	s.driver, err = signing.NewDriver(signing.DriverConfig{Machine: m, NodeKey: r.key, Store: r.keys, Transport: transport{r.wire}, Log: log, Slots: r.opts.Shared.Slots, Protocol: machine.Newest,
		Listener: signing.Listener{
			CeremonyBegin: r.ceremonies.begin,
			CeremonyEnd: func(c signing.CeremonyInfo, took time.Duration, err error) {
				r.metrics.ceremony(c, took, err)
				r.ceremonies.end(c, took, err)
			},
			Refused: func(node int, _ error) { r.metrics.refused(node, m.NodeID(r.machine.SigningReader(), node)) },
			ShareMissing: func(key string, err error) {
				log.Error("share of a threshold key is missing; restore it from the backup or reshare at once", "key", key, "err", err)
				r.metrics.shareMissing.Inc()
				r.metrics.sharesLost.Set(float64(r.lost.set(key, true)))
			},
			ShareFound: func(key string) { r.metrics.sharesLost.Set(float64(r.lost.set(key, false))) },
			Halted:     func(reason string) { r.fail(fmt.Errorf("this instance signs no more: %s", reason)) },
		}})
	if err != nil {
		return nil, err
	}
	// A ceremony's loss is costly, so its queue holds a whole key generation.
	r.wire.Handle(gossip.Topic{Name: signingTopic, MaxBytes: maxSigningMessage, Queue: 4096, QueueBytes: 32 << 20}, s.driver.Deliver)
	return s, nil
}

func (s *signer) close() error { s.driver.Close(); return nil }

func (s *signer) reconcile(v *machine.View) {
	snap := s.m.Snapshot(s.r.machine.SigningReader(), v.Height)
	s.driver.Reconcile(snap)
	s.r.metrics.standing(s.m.Standing(snap))
}

// propose adds what a block may carry now.
func (s *signer) propose(b *payload.Builder) {
	for _, it := range s.driver.Pending() {
		if s.r.machine.CheckSigning(it) == nil {
			b.Add(it.Kind, it.Body)
		}
	}
}

// status explains keys, open ceremonies and how the nodes stand with each other.
func (s *signer) status(v *machine.View) (st signing.Status, keys []Key, open []string) {
	r := s.r.machine.SigningReader()
	st = s.m.Status(s.m.Snapshot(r, v.Height))
	for _, k := range st.Keys {
		keys = append(keys, Key{ID: k.ID, Scheme: k.Scheme, Active: k.Active, PublicKey: k.PublicKey, ChainCode: k.ChainCode, State: k.Sentence,
			Presignatures: k.Presignatures, Making: k.Making})
	}
	for _, q := range st.Requests {
		open = append(open, q.Sentence)
	}
	return st, keys, open
}

// shownComplaints is how many of the remembered complaints a status carries.
const shownComplaints = 32

func (s *signer) complaints() []signing.ComplaintInfo {
	all := s.m.Complaints(s.r.machine.SigningReader())
	return all[:min(len(all), shownComplaints)]
}
