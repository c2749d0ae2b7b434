package replica

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"fusion/replica/genesis"
)

// disk is the file system that a directory lies on.
type disk struct{ free, size uint64 } // bytes; free for this user

func diskOf(dir string) (disk, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return disk{}, fmt.Errorf("file system of %s: %w", dir, err)
	}
	return disk{fs.Bavail * uint64(fs.Bsize), fs.Blocks * uint64(fs.Bsize)}, nil
}

// Ready is "ready" when this replica answers calls as fast as any other, or says why none should be sent to it: a balancer asks it. A
// replica that is not healthy is not ready; one that stops, or has too many calls waiting, is not ready although it is healthy.
func (r *Replica) Ready() string {
	if r.stopping.Load() {
		return "stopping"
	}
	return readiness(r.Status())
}

func readiness(s Status) string {
	switch {
	case !s.Healthy:
		return s.Sentence
	case s.CatchingUp:
		return fmt.Sprintf("catching up: at block %d", s.Height)
	case s.PoolCalls >= submitQueue:
		return fmt.Sprintf("%d calls wait for a block", s.PoolCalls)
	case time.Since(s.BlockTime) > maxLag:
		return fmt.Sprintf("the newest state is %s old", time.Since(s.BlockTime).Round(time.Second))
	}
	return ready
}

const ready = "ready"

// healthMetrics shows at each scrape what the status says.
type healthMetrics struct{ r *Replica }

var healthDescs = func() map[string]*prometheus.Desc {
	out := map[string]*prometheus.Desc{}
	for name, help := range map[string]string{
		"healthy":                       "1 while the replica does its work, as /health says.",
		"ready":                         "1 while calls should be sent to the replica, as /ready says.",
		"peers_connected":               "Members of the network that this replica is connected to.",
		"members":                       "Members of the network.",
		"epoch":                         "How many changes of the members are in force.",
		"catching_up":                   "1 while the replica fetches blocks that it missed.",
		"ingress_pool_calls":            "Calls of users that wait for a block.",
		"clock_offset_seconds":          "This machine's clock minus the network's time, while blocks come.",
		"signing_requests_open":         "Requests for threshold signatures that wait for their answer.",
		"signing_oldest_request_blocks": "For how many blocks the oldest of them has waited.",
		"bitcoin_peers":                 "Bitcoin nodes that this replica is connected to.",
		"bitcoin_peers_height":          "Height of the Bitcoin chain with the most work that this replica's peers show.",
		"disk_free_bytes":               "Free on the disk of the replica's directory.",
		"disk_size_bytes":               "Size of the disk of the replica's directory.",
	} {
		out[name] = prometheus.NewDesc("fusion_"+name, help, []string{"node"}, nil)
	}
	out["signing_presignatures"] = prometheus.NewDesc("fusion_signing_presignatures", "Presignatures of a key that signs from them, by state: ready, or being made.",
		[]string{"node", "key", "state"}, nil)
	out["trouble"] = prometheus.NewDesc("fusion_trouble", "1 for each thing that is wrong, by the name that the runbook has for it.", []string{"node", "name"}, nil)
	return out
}()

// Describe implements prometheus.Collector.
func (h healthMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range healthDescs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (h healthMetrics) Collect(ch chan<- prometheus.Metric) {
	r := h.r
	if r.ctx.Err() != nil { // what there is to show is being closed
		return
	}
	s, v := r.Status(), r.machine.View()
	send := func(name string, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(healthDescs[name], prometheus.GaugeValue, value, append([]string{fmt.Sprint(s.Node)}, labels...)...)
	}
	bit := func(on bool) float64 {
		if on {
			return 1
		}
		return 0
	}
	send("healthy", bit(s.Healthy))
	send("ready", bit(!r.stopping.Load() && readiness(s) == ready))
	send("peers_connected", float64(len(s.Connected)))
	send("members", float64(len(v.Members.Nodes)))
	send("epoch", float64(v.Members.Epoch))
	send("catching_up", bit(s.CatchingUp))
	send("ingress_pool_calls", float64(s.PoolCalls))
	send("signing_requests_open", float64(len(s.Signing)))
	send("signing_oldest_request_blocks", float64(s.oldestRequest))
	for _, k := range s.Keys {
		if k.Scheme == genesis.Idkg {
			send("signing_presignatures", float64(k.Presignatures), k.ID.String(), "ready")
			send("signing_presignatures", float64(k.Making), k.ID.String(), "making")
		}
	}
	offset := 0.0
	if t := r.committed.Load(); t != nil && !s.CatchingUp && time.Since(*t) < maxLag {
		offset = time.Since(s.BlockTime).Seconds()
	}
	send("clock_offset_seconds", offset)
	if r.bitcoin != nil {
		i := r.bitcoin.adapter.Info()
		send("bitcoin_peers", float64(len(i.Peers)))
		send("bitcoin_peers_height", float64(i.TipHeight))
	}
	if d, err := diskOf(r.cfg.Dir); err == nil {
		send("disk_free_bytes", float64(d.free))
		send("disk_size_bytes", float64(d.size))
	}
	for _, name := range Troubles {
		on := false
		for _, t := range s.Trouble {
			on = on || t.Name == name
		}
		send("trouble", bit(on), name)
	}
}
