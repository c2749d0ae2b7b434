package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"fusion/replica/misdeed"
	"fusion/testnets/golden"
)

// ByzantineBuild is the name of the program that byzantine runs a replica with: the same one, built with the tag byzantine.
const ByzantineBuild = "byzantine-build"

// silentBlocks is how long a replica has to be silent to be noticed.
const silentBlocks = 5

// sign is how the others see a misdeed: one of the metrics, of the member, grows by more than a bound, or is above it if it is a level.
type sign struct {
	metrics []string
	above   float64
	level   bool
}

// misdeeds are what a manifest may name: all but false answers, since nobody asks in an experiment.
var misdeeds = slices.DeleteFunc(slices.Clone(misdeed.Kinds), func(k misdeed.Kind) bool { return k == misdeed.FalseAnswers })

var signs = map[misdeed.Kind]sign{
	misdeed.Equivocate:  {metrics: []string{`fusion_member_misconduct_total{kind="double-vote",member="%d",node="%d"}`}},
	misdeed.FalseBlocks: {metrics: []string{`fusion_member_misconduct_total{kind="bad-proposal",member="%d",node="%d"}`}},
	misdeed.FalseChain:  {metrics: []string{`fusion_member_misconduct_total{kind="bad-proposal",member="%d",node="%d"}`}},
	misdeed.FalseShares: {metrics: []string{`fusion_member_misconduct_total{kind="bad-share",member="%d",node="%d"}`, `fusion_member_misconduct_total{kind="bad-message",member="%d",node="%d"}`}},
	misdeed.Flood:       {metrics: []string{`fusion_member_misconduct_total{kind="bad-message",member="%d",node="%d"}`}, above: 100},
	misdeed.Withhold:    {metrics: []string{`fusion_member_silent_blocks{member="%d",node="%d"}`}, above: silentBlocks, level: true},
}

// figures are a replica's metrics.
type figures map[string]float64

// figures asks all replicas but some for their metrics. One that does not answer, because something else hits it, has none.
func (x *experiment) figures(ctx context.Context, but []int) map[int]figures {
	out := map[int]figures{}
	for i := range x.m.Nodes {
		if f, err := x.scrape(ctx, i); err == nil {
			out[i] = f
		}
	}
	for _, i := range but {
		delete(out, i)
	}
	return out
}

// maxMetrics bounds what a replica answers.
const maxMetrics = 4 << 20

func (x *experiment) scrape(ctx context.Context, node int) (figures, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.world.URL(node)+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(res.Status)
	}
	out := figures{}
	lines := bufio.NewScanner(io.LimitReader(res.Body, maxMetrics))
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && !strings.HasPrefix(name, "#") {
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				out[name] = v
			}
		}
	}
	return out, lines.Err()
}

// seen waits until the others see each misdeed of each node.
func (x *experiment) seen(ctx context.Context, p *Perturbation, before map[int]figures) error {
	return golden.Wait(ctx, "the others to notice", func() (string, error) {
		now := x.figures(ctx, p.Nodes)
		for _, culprit := range p.Nodes {
			for _, d := range p.Misdeeds {
				if !noticed(d, culprit, before, now) {
					return fmt.Sprintf("nobody sees that node %d does %s; %s", culprit, d, x.watch), nil
				}
			}
		}
		return "", nil
	})
}

func noticed(d misdeed.Kind, culprit int, before, now map[int]figures) bool {
	s := signs[d]
	for i, f := range now {
		for _, pattern := range s.metrics {
			name, bound := fmt.Sprintf(pattern, culprit, i), s.above
			if !s.level {
				bound += before[i][name]
			}
			if f[name] > bound {
				return true
			}
		}
	}
	return false
}
