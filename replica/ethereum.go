package replica

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"fusion/internal/redact"
	"fusion/replica/genesis"
)

// Ethereum is how a replica reads the Ethereum chain of its genesis document: through providers of its own, of which several, run by
// different operators, must say the same. Replicas should not all have the same providers.
type Ethereum struct {
	Providers []EthereumProvider `toml:"providers"`
	// Quorum is how many different operators must give the same answer: fewer than there are, so that one who is down stops nothing. The default is
	// more than half of them.
	Quorum int `toml:"quorum,omitempty"`
	// Verify checks logs and receipts against the headers of their blocks as well. The default is true.
	Verify *bool `toml:"verify,omitempty"`
	// Beacon are endpoints of the beacon chain, for a light client that follows what is final from Checkpoint on, the root of a finalized beacon block.
	Beacon     []string `toml:"beacon,omitempty"`
	Checkpoint string   `toml:"checkpoint,omitempty"`
}

// EthereumProvider is a JSON-RPC endpoint. Its URL and its headers usually hold a key, so neither is ever shown.
type EthereumProvider struct {
	URL string `toml:"url"`
	// Operator is who runs it: two endpoints of one operator count as one. The default is the host's name.
	Operator string            `toml:"operator,omitempty"`
	Headers  map[string]string `toml:"headers,omitempty"`
}

const (
	maxEthereumProviders = 32
	maxEthereumHeaders   = 16
)

// name is the provider as logs, metrics and messages call it.
func (p EthereumProvider) name() string {
	if p.Operator != "" {
		return p.Operator
	}
	if u, err := url.Parse(p.URL); err == nil {
		return u.Hostname()
	}
	return "?"
}

// Format shows who runs the endpoint and nothing else, whatever the verb.
func (p EthereumProvider) Format(f fmt.State, _ rune) {
	redact.Format(f, "Ethereum provider "+p.name())
}

// LogValue is what a log shows.
func (p EthereumProvider) LogValue() slog.Value {
	return slog.StringValue("Ethereum provider " + p.name())
}

// Format shows the providers by name, and no key.
func (e Ethereum) Format(f fmt.State, _ rune) {
	redact.Format(f, fmt.Sprintf("%d of %d Ethereum operators", e.quorum(), len(e.operators())))
}

// operators are the names of those who run the providers, each once.
func (e *Ethereum) operators() map[string]bool {
	out := map[string]bool{}
	for _, p := range e.Providers {
		out[p.name()] = true
	}
	return out
}

func (e *Ethereum) quorum() int {
	if n := len(e.operators()); e.Quorum == 0 && n == 2 {
		return 1
	} else if e.Quorum == 0 {
		return n/2 + 1
	}
	return e.Quorum
}

func (e *Ethereum) verify() bool { return e.Verify == nil || *e.Verify }

// endpoint refuses what is no URL of an endpoint. The URL itself may hold a key: it is in no message.
func endpoint(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("it cannot be parsed")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("it begins neither with https:// nor with http://")
	case u.Hostname() == "":
		return errors.New("it names no host")
	case u.User != nil:
		return errors.New("it holds a user's name; send an Authorization header instead")
	}
	return nil
}

func (e *Ethereum) validate() error {
	if n := len(e.Providers); n > maxEthereumProviders {
		return fmt.Errorf("providers: %d, at most %d are allowed", n, maxEthereumProviders)
	}
	seen := map[string]bool{}
	for i, p := range e.Providers {
		if err := endpoint(p.URL); err != nil {
			return fmt.Errorf("providers[%d].url: %w", i, err)
		}
		if seen[p.URL] {
			return fmt.Errorf("providers[%d].url stands there twice", i)
		}
		seen[p.URL] = true
		if len(p.Operator) > 64 || strings.ContainsFunc(p.Operator, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fmt.Errorf("providers[%d].operator is not up to 64 printable characters", i)
		}
		if len(p.Headers) > maxEthereumHeaders {
			return fmt.Errorf("providers[%d].headers: %d, at most %d are allowed", i, len(p.Headers), maxEthereumHeaders)
		}
		for name, value := range p.Headers {
			if name == "" || strings.ContainsAny(name, " :\r\n") || strings.ContainsAny(value, "\r\n") {
				return fmt.Errorf("providers[%d].headers: one of them is no header", i)
			}
		}
	}
	if n := len(e.operators()); e.Quorum < 0 || e.Quorum > n {
		return fmt.Errorf("quorum is %d, the providers have %d different operators", e.Quorum, n)
	} else if n > 1 && e.Quorum == n {
		return fmt.Errorf("quorum is %d, and the providers have as many operators: one that is down would stop this replica; add one or lower the quorum", n)
	}
	for i, b := range e.Beacon {
		if err := endpoint(b); err != nil {
			return fmt.Errorf("beacon[%d]: %w", i, err)
		}
	}
	if c := strings.TrimPrefix(e.Checkpoint, "0x"); c != "" || len(e.Beacon) > 0 {
		if b, err := hex.DecodeString(c); err != nil || len(b) != 32 {
			return errors.New("checkpoint is not 32 bytes in hexadecimal, the root of a finalized beacon block")
		}
	}
	if e.Checkpoint != "" && len(e.Beacon) == 0 {
		return errors.New("checkpoint is set without beacon endpoints")
	}
	return nil
}

// fits refuses settings that do not fit a network.
func (e *Ethereum) fits(doc *genesis.Doc) error {
	switch {
	case len(e.Providers) == 0:
		return nil
	case doc.Ethereum == nil:
		return fmt.Errorf("%w: ethereum.providers: the genesis document names no Ethereum chain", ErrConfig)
	case doc.Class != genesis.Local && e.quorum() < 2 && len(e.Beacon) == 0:
		return fmt.Errorf("%w: ethereum.providers: a %s network believes no single operator; name more of them, or beacon endpoints", ErrConfig, doc.Class)
	}
	return nil
}
