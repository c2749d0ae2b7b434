package replica

import (
	"fmt"
	"time"

	"fusion/chainkey"
	"fusion/chainkey/bls"
	"fusion/replica/machine"
	"fusion/replica/payload"
	"fusion/replica/vetkeys"
)

// deriver joins package vetkeys to this replica: its part in the generation of each key that others derive from, its shares of what
// is derived, and both in proposals.
type deriver struct {
	r      *Replica
	dkgs   []*dkg // by key
	names  []string
	driver *vetkeys.Driver
}

func newDeriver(r *Replica) (*deriver, error) {
	d := &deriver{r: r, names: vetkeys.FromGenesis(r.doc, r.life()).Keys}
	for i, name := range d.names {
		var e *bls.Epochs
		if m := r.machine.VetKeys(); m != nil {
			e = m.Epochs(i)
		}
		// Each key has a topic of its own: a node that floods the generation of one does not disturb another's.
		g, err := newDKG(r, fmt.Sprintf("%s-vetkey-%d", dkgTopic, i), "vetkd key "+name, vetKey(name), e)
		if err != nil {
			return nil, err
		}
		d.dkgs = append(d.dkgs, g)
	}
	d.driver = vetkeys.NewDriver(vetkeys.DriverConfig{Net: r.wire, Log: r.log, Listener: vetkeys.Listener{
		Refused: func(int, error) { r.metrics.derivedBad.Inc() },
		Derived: func(took time.Duration) { r.metrics.derived.Observe(took.Seconds()) },
	}})
	return d, nil
}

// vetKey is a key to derive from in the key store.
func vetKey(name string) string {
	return chainkey.KeyID{Algorithm: chainkey.Bls12381G2, Name: name}.String()
}

func (d *deriver) close() error { d.driver.Close(); return nil }

// generate takes part in key generations and resharings, and takes shares of those that are over.
func (d *deriver) generate(height uint64) error {
	m := d.r.machine.VetKeys()
	for i, g := range d.dkgs {
		e := m.Epochs(i)
		err := g.follow(e, height, func() (*bls.Board, error) { return d.r.machine.FinishedVetBoard(i) }, func(s *bls.SecretShare) {
			d.driver.SetShare(d.names[i], e.Epoch(), s)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reconcile works on what the committed state has open.
func (d *deriver) reconcile() {
	open := d.r.machine.OpenDerivations()
	d.driver.Reconcile(open)
	d.r.metrics.derivedOpen.Set(float64(len(open)))
}

// propose adds what a block may carry now.
func (d *deriver) propose(b *payload.Builder) {
	m := d.r.machine.VetKeys()
	for i, g := range d.dkgs {
		for _, it := range g.items(m.Board(i)) {
			b.Add(payload.DKG, it)
		}
	}
	for _, it := range d.driver.Pending() {
		if d.r.machine.CheckVetKeys(nil, [][]byte{it}) == nil {
			b.Add(payload.DerivedKey, it)
		}
	}
}

// status explains keys and open requests.
func (d *deriver) status(v *machine.View) (keys []Key, open []string) {
	for _, k := range v.VetKeys {
		key := Key{ID: chainkey.KeyID{Algorithm: chainkey.Bls12381G2, Name: k.Name}, Active: k.Active, State: k.Sentence}
		if k.Active {
			key.PublicKey = fmt.Sprintf("%x", k.PublicKey)
		}
		keys = append(keys, key)
	}
	return keys, d.driver.Status()
}
