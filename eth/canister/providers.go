package canister

import (
	"encoding/binary"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"fusion/ic/candid"
)

// The chains that have names in the interface.
const (
	EthMainnet      = 1
	EthSepolia      = 11155111
	ArbitrumOne     = 42161
	BaseMainnet     = 8453
	OptimismMainnet = 10
)

// provider is an entry of the table: the published canister's, with its numbers (dfinity/evm-rpc-canister, src/providers.rs).
type provider struct {
	chain  uint64
	name   string // of the alternative in the chain's type
	public string // URL without a key, if there is one
	bearer string // URL where the key goes into a header
	param  string // URL with {API_KEY}
}

const keyMark = "{API_KEY}"

var providers = []provider{
	0:  {chain: EthMainnet, name: "Cloudflare", bearer: "https://cloudflare-eth.com/v1/mainnet", public: "https://cloudflare-eth.com/v1/mainnet"},
	1:  {chain: EthMainnet, name: "Ankr", param: "https://rpc.ankr.com/eth/{API_KEY}", public: "https://rpc.ankr.com/eth"},
	2:  {chain: EthMainnet, name: "PublicNode", public: "https://ethereum-rpc.publicnode.com"},
	3:  {chain: EthMainnet, name: "BlockPi", param: "https://ethereum.blockpi.network/v1/rpc/{API_KEY}", public: "https://ethereum.blockpi.network/v1/rpc/public"},
	4:  {chain: EthSepolia, name: "Sepolia", public: "https://rpc.sepolia.org"},
	5:  {chain: EthSepolia, name: "Ankr", param: "https://rpc.ankr.com/eth_sepolia/{API_KEY}", public: "https://rpc.ankr.com/eth_sepolia"},
	6:  {chain: EthSepolia, name: "BlockPi", param: "https://ethereum-sepolia.blockpi.network/v1/rpc/{API_KEY}", public: "https://ethereum-sepolia.blockpi.network/v1/rpc/public"},
	7:  {chain: EthSepolia, name: "PublicNode", public: "https://ethereum-sepolia-rpc.publicnode.com"},
	8:  {chain: EthMainnet, name: "Alchemy", bearer: "https://eth-mainnet.g.alchemy.com/v2", public: "https://eth-mainnet.g.alchemy.com/v2/demo"},
	9:  {chain: EthSepolia, name: "Alchemy", bearer: "https://eth-sepolia.g.alchemy.com/v2", public: "https://eth-sepolia.g.alchemy.com/v2/demo"},
	10: {chain: ArbitrumOne, name: "Ankr", param: "https://rpc.ankr.com/arbitrum/{API_KEY}", public: "https://rpc.ankr.com/arbitrum"},
	11: {chain: ArbitrumOne, name: "Alchemy", bearer: "https://arb-mainnet.g.alchemy.com/v2", public: "https://arb-mainnet.g.alchemy.com/v2/demo"},
	12: {chain: ArbitrumOne, name: "BlockPi", param: "https://arbitrum.blockpi.network/v1/rpc/{API_KEY}", public: "https://arbitrum.blockpi.network/v1/rpc/public"},
	13: {chain: ArbitrumOne, name: "PublicNode", public: "https://arbitrum-one-rpc.publicnode.com"},
	14: {chain: BaseMainnet, name: "Ankr", param: "https://rpc.ankr.com/base/{API_KEY}", public: "https://rpc.ankr.com/base"},
	15: {chain: BaseMainnet, name: "Alchemy", bearer: "https://base-mainnet.g.alchemy.com/v2", public: "https://base-mainnet.g.alchemy.com/v2/demo"},
	16: {chain: BaseMainnet, name: "BlockPi", param: "https://base.blockpi.network/v1/rpc/{API_KEY}", public: "https://base.blockpi.network/v1/rpc/public"},
	17: {chain: BaseMainnet, name: "PublicNode", public: "https://base-rpc.publicnode.com"},
	18: {chain: OptimismMainnet, name: "Ankr", param: "https://rpc.ankr.com/optimism/{API_KEY}", public: "https://rpc.ankr.com/optimism"},
	19: {chain: OptimismMainnet, name: "Alchemy", bearer: "https://opt-mainnet.g.alchemy.com/v2", public: "https://opt-mainnet.g.alchemy.com/v2/demo"},
	20: {chain: OptimismMainnet, name: "BlockPi", param: "https://optimism.blockpi.network/v1/rpc/{API_KEY}", public: "https://optimism.blockpi.network/v1/rpc/public"},
	21: {chain: OptimismMainnet, name: "PublicNode", public: "https://optimism-rpc.publicnode.com"},
	22: {chain: EthMainnet, name: "Llama", public: "https://eth.llamarpc.com"},
	23: {chain: ArbitrumOne, name: "Llama", public: "https://arbitrum.llamarpc.com"},
	24: {chain: BaseMainnet, name: "Llama", public: "https://base.llamarpc.com"},
	25: {chain: OptimismMainnet, name: "Llama", public: "https://optimism.llamarpc.com"},
}

// defaults are the providers of a chain in the order in which they are taken where a call names none.
var defaults = map[uint64][]uint64{
	EthMainnet:      {8, 1, 2, 3, 0, 22},
	EthSepolia:      {9, 5, 6, 7, 4},
	ArbitrumOne:     {11, 10, 13, 12, 23},
	BaseMainnet:     {15, 14, 17, 16, 24},
	OptimismMainnet: {19, 18, 21, 20, 25},
}

// equalityProviders is how many of them are asked where all must give the same.
const equalityProviders = 3

// name is the alternative that is set.
func (s *EthMainnetService) name() string {
	return chosen([]string{"Alchemy", "Ankr", "BlockPi", "Cloudflare", "PublicNode", "Llama"},
		s.Alchemy, s.Ankr, s.BlockPi, s.Cloudflare, s.PublicNode, s.Llama)
}

func (s *EthSepoliaService) name() string {
	return chosen([]string{"Alchemy", "Ankr", "BlockPi", "PublicNode", "Sepolia"}, s.Alchemy, s.Ankr, s.BlockPi, s.PublicNode, s.Sepolia)
}

func (s *L2MainnetService) name() string {
	return chosen([]string{"Alchemy", "Ankr", "BlockPi", "PublicNode", "Llama"}, s.Alchemy, s.Ankr, s.BlockPi, s.PublicNode, s.Llama)
}

func chosen(names []string, alternatives ...*candid.Null) string {
	for i, a := range alternatives {
		if a != nil {
			return names[i]
		}
	}
	return ""
}

func at(name, of string) *candid.Null {
	if name == of {
		return candid.Unit
	}
	return nil
}

// service is the table's provider as the interface names it.
func (p *provider) service() RPCService {
	l2 := func() *L2MainnetService {
		return &L2MainnetService{Alchemy: at(p.name, "Alchemy"), Ankr: at(p.name, "Ankr"), BlockPi: at(p.name, "BlockPi"), PublicNode: at(p.name, "PublicNode"), Llama: at(p.name, "Llama")}
	}
	switch p.chain {
	case EthMainnet:
		return RPCService{EthMainnet: &EthMainnetService{Alchemy: at(p.name, "Alchemy"), Ankr: at(p.name, "Ankr"), BlockPi: at(p.name, "BlockPi"), Cloudflare: at(p.name, "Cloudflare"),
			PublicNode: at(p.name, "PublicNode"), Llama: at(p.name, "Llama")}}
	case EthSepolia:
		return RPCService{EthSepolia: &EthSepoliaService{Alchemy: at(p.name, "Alchemy"), Ankr: at(p.name, "Ankr"), BlockPi: at(p.name, "BlockPi"), PublicNode: at(p.name, "PublicNode"),
			Sepolia: at(p.name, "Sepolia")}}
	case ArbitrumOne:
		return RPCService{ArbitrumOne: l2()}
	case BaseMainnet:
		return RPCService{BaseMainnet: l2()}
	}
	return RPCService{OptimismMainnet: l2()}
}

// entry is the provider as getProviders shows it: without a key.
func (p *provider) entry(id uint64) Provider {
	alias := p.service()
	e := Provider{ProviderID: id, ChainID: p.chain, Alias: &alias}
	public := &p.public
	switch {
	case p.bearer != "":
		e.Access.Authenticated = &Authenticated{Auth: RPCAuth{BearerToken: &BearerToken{p.bearer}}, PublicURL: public}
	case p.param != "":
		e.Access.Authenticated = &Authenticated{Auth: RPCAuth{URLParameter: &URLParameter{p.param}}, PublicURL: public}
	default:
		e.Access.Unauthenticated = &Unauthenticated{p.public}
	}
	return e
}

// find looks a named service up.
func find(chain uint64, name string) (uint64, bool) {
	for id := range providers {
		if providers[id].chain == chain && providers[id].name == name {
			return uint64(id), true
		}
	}
	return 0, false
}

// ---- keys ----

const (
	maxKeySize = 512
	keyChars   = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz$-_.+!*" // (dfinity/evm-rpc-canister, VALID_API_KEY_CHARS)
)

func keyName(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte("key/"), id) }

func validKey(k string) bool {
	return len(k) > 0 && len(k) <= maxKeySize && strings.Trim(k, keyChars) == ""
}

// ---- services ----

// Endpoint is a service as a replica reaches it. It may hold a key.
type Endpoint struct {
	_       struct{} `cbor:",toarray"`
	URL     string
	Headers [][2]string // name and value
}

// Format shows the host and nothing else: the rest may be a key.
func (e Endpoint) Format(f fmt.State, _ rune) { fmt.Fprint(f, "endpoint at "+e.Host()) }

// Host is what may be shown of an endpoint.
func (e Endpoint) Host() string {
	if u, err := url.Parse(e.URL); err == nil && u.Host != "" {
		return u.Hostname()
	}
	return "an unreadable URL"
}

// target is a service of a call.
type target struct {
	service RPCService
	known   *uint64 // in the table
	chain   uint64  // 0 where the call does not say
}

// Limits of services that callers name (interface specification, http_request).
const (
	maxServices   = 16
	maxURL        = 8192
	maxHeaders    = 63 // and one that says what the body is
	maxHeaderSize = 8 << 10
)

// endpoint says how to reach a service; an error is that of this service alone.
func (c *Canister) endpoint(t *target) (Endpoint, *RPCError) {
	var e Endpoint
	switch {
	case t.known != nil:
		p := &providers[*t.known]
		e.URL = p.public
		if key, ok := c.store.Get(keyName(*t.known)); ok {
			if p.bearer != "" {
				e.URL, e.Headers = p.bearer, [][2]string{{"Authorization", "Bearer " + string(key)}}
			} else if p.param != "" {
				e.URL = strings.ReplaceAll(p.param, keyMark, string(key))
			}
		}
	case t.service.Custom != nil:
		e.URL = t.service.Custom.URL
		if h := t.service.Custom.Headers; h != nil {
			if len(*h) > maxHeaders {
				return e, invalid("%d headers, at most %d are sent", len(*h), maxHeaders)
			}
			for _, x := range *h {
				if len(x.Name) > maxHeaderSize || len(x.Value) > maxHeaderSize {
					return e, invalid("a header of %d bytes, at most %d are sent", max(len(x.Name), len(x.Value)), maxHeaderSize)
				}
				e.Headers = append(e.Headers, [2]string{x.Name, x.Value})
			}
		}
	}
	if c.override != nil {
		e.URL = c.override.ReplaceAllString(e.URL, c.replacement)
	}
	if u, err := url.Parse(e.URL); err != nil || len(e.URL) > maxURL || u.Host == "" {
		return e, &RPCError{ValidationError: &ValidationError{Custom: ptr("Error parsing URL: it is too long, or no URL with a host")}}
	}
	return e, nil
}

// substitution compiles an override of URLs.
func substitution(o *OverrideProvider) (*regexp.Regexp, string, error) {
	if o == nil || o.OverrideURL == nil {
		return nil, "", nil
	}
	re, err := regexp.Compile(o.OverrideURL.Pattern)
	if err != nil {
		return nil, "", fmt.Errorf("the pattern that overrides the URLs of providers: %w", err)
	}
	return re, o.OverrideURL.Replacement, nil
}

// sources are the services that a call names, or own for those of the replicas.
type sources struct {
	chain   uint64
	own     bool
	targets []target
	// need is how many of them must give the same; 0 means all.
	need int
}

// choose reads whom a call wants to ask.
func (c *Canister) choose(s RPCServices, strategy *ConsensusStrategy) (*sources, *RPCError) {
	out := &sources{}
	var named *[]target // nil where the call names none
	add := func(t target) {
		if named == nil {
			named = &[]target{}
		}
		for i := range *named {
			if same((*named)[i].service, t.service) {
				return
			}
		}
		*named = append(*named, t)
	}
	byName := func(name string) {
		if id, ok := find(out.chain, name); ok {
			add(target{service: providers[id].service(), known: &id, chain: out.chain})
		}
	}
	given := func(ok bool) {
		if ok && named == nil {
			named = &[]target{}
		}
	}
	switch {
	case s.Custom != nil:
		out.chain = s.Custom.ChainID
		given(true)
		for i := range s.Custom.Services[:min(len(s.Custom.Services), maxServices+1)] {
			add(target{service: RPCService{Custom: &s.Custom.Services[i]}, chain: out.chain})
		}
	case s.EthMainnet != nil:
		out.chain = EthMainnet
		if l := *s.EthMainnet; l != nil {
			given(true)
			for i := range *l {
				byName((*l)[i].name())
			}
		}
	case s.EthSepolia != nil:
		out.chain = EthSepolia
		if l := *s.EthSepolia; l != nil {
			given(true)
			for i := range *l {
				byName((*l)[i].name())
			}
		}
	default:
		for chain, field := range map[uint64]**[]L2MainnetService{ArbitrumOne: s.ArbitrumOne, BaseMainnet: s.BaseMainnet, OptimismMainnet: s.OptimismMainnet} {
			if field == nil {
				continue
			}
			out.chain = chain
			if l := *field; l != nil {
				given(true)
				for i := range *l {
					byName((*l)[i].name())
				}
			}
		}
	}
	if err := c.allowed(out.chain); err != nil {
		return nil, err
	}
	out.own = c.opt.Chain != 0 && out.chain == c.opt.Chain && (named == nil || len(*named) == 0)
	if named != nil && len(*named) > maxServices {
		return nil, badConfig("more than %d services are named", maxServices)
	}
	var th *Threshold
	if strategy != nil {
		th = strategy.Threshold
	}
	if th != nil && th.Min == 0 {
		return nil, badConfig("min must be greater than 0")
	}
	switch {
	case out.own:
		if th != nil && th.Total != nil && th.Min > *th.Total {
			return nil, badConfig("min %d is greater than total %d", th.Min, *th.Total)
		}
		return out, nil
	case named == nil:
		all := defaults[out.chain]
		n := equalityProviders
		if th != nil {
			if th.Total == nil {
				return nil, badConfig("total must be specified when using default providers")
			}
			if th.Min > *th.Total {
				return nil, badConfig("min %d is greater than total %d", th.Min, *th.Total)
			}
			if n = int(*th.Total); n > len(all) {
				return nil, badConfig("total %d is greater than the number of all supported providers %d", n, len(all))
			}
		}
		for _, id := range all[:n] {
			byName(providers[id].name)
		}
	case th != nil:
		if n := len(*named); int(th.Min) > n {
			return nil, badConfig("min %d is greater than the number of specified providers %d", th.Min, n)
		} else if th.Total != nil && int(*th.Total) != n {
			return nil, badConfig("total %d is different than the number of specified providers %d", *th.Total, n)
		}
	}
	if out.targets = *named; len(out.targets) == 0 {
		return nil, &RPCError{ProviderError: &ProviderError{ProviderNotFound: candid.Unit}}
	}
	if th != nil {
		out.need = int(th.Min)
	}
	return out, nil
}

// single is the service of the deprecated request.
func (c *Canister) single(s RPCService) (*sources, *RPCError) {
	t := target{service: s}
	byName := func(chain uint64, name string) {
		if id, ok := find(chain, name); ok {
			t.known, t.chain = &id, chain
		}
	}
	switch {
	case s.Provider != nil:
		if *s.Provider >= uint64(len(providers)) {
			return nil, &RPCError{ProviderError: &ProviderError{ProviderNotFound: candid.Unit}}
		}
		t.known, t.chain = s.Provider, providers[*s.Provider].chain
	case s.EthMainnet != nil:
		byName(EthMainnet, s.EthMainnet.name())
	case s.EthSepolia != nil:
		byName(EthSepolia, s.EthSepolia.name())
	case s.ArbitrumOne != nil:
		byName(ArbitrumOne, s.ArbitrumOne.name())
	case s.BaseMainnet != nil:
		byName(BaseMainnet, s.BaseMainnet.name())
	case s.OptimismMainnet != nil:
		byName(OptimismMainnet, s.OptimismMainnet.name())
	}
	if err := c.allowed(t.chain); err != nil {
		return nil, err
	}
	return &sources{chain: t.chain, targets: []target{t}}, nil
}

// allowed refuses a local network the chains on which coins are worth something: its keys are made from public parameters. Where all URLs are
// overridden, the name of a chain says nothing.
func (c *Canister) allowed(chain uint64) *RPCError {
	if c.opt.Local && chain != 0 && chain != DevelopmentGeth && chain != DevelopmentAnvil && c.override == nil {
		return badConfig("chain %d cannot be reached from a local network, only the development chains %d and %d can: name one as Custom", chain, DevelopmentGeth, DevelopmentAnvil)
	}
	return nil
}

// same says whether two services are one.
func same(a, b RPCService) bool {
	return string(candid.MustMarshal(a)) == string(candid.MustMarshal(b))
}

func badConfig(format string, args ...any) *RPCError {
	return &RPCError{ProviderError: &ProviderError{InvalidRPCConfig: ptr(fmt.Sprintf(format, args...))}}
}

func invalid(format string, args ...any) *RPCError {
	return &RPCError{ValidationError: &ValidationError{Custom: ptr(fmt.Sprintf(format, args...))}}
}

func invalidHex(format string, args ...any) *RPCError {
	return &RPCError{ValidationError: &ValidationError{InvalidHex: ptr(fmt.Sprintf(format, args...))}}
}

func ptr[T any](v T) *T { return &v }
