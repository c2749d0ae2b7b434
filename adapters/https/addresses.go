package https

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// refusedRanges are not the public internet, although some of them look like it: the special-purpose registries of IANA (RFC 6890 and
// successors) as far as net/netip does not know them.
var refusedRanges = prefixes(
	"0.0.0.0/8",         // this network
	"100.64.0.0/10",     // shared address space (RFC 6598), also a cloud's metadata service
	"168.63.129.16/32",  // the host of Azure's machines: a public address that only they reach
	"192.0.0.0/24",      // protocol assignments, also a cloud's metadata service
	"192.0.2.0/24",      // documentation
	"192.31.196.0/24",   // AS112, which answers for private addresses
	"192.52.193.0/24",   // relays of multicast
	"192.88.99.0/24",    // relays to 6to4, withdrawn
	"192.175.48.0/24",   // AS112
	"198.18.0.0/15",     // benchmarks
	"198.51.100.0/24",   // documentation
	"203.0.113.0/24",    // documentation
	"240.0.0.0/4",       // reserved, and broadcast
	"2001::/23",         // protocol assignments, among them Teredo, which wraps IPv4
	"2001:db8::/32",     // documentation
	"2002::/16",         // 6to4, which wraps IPv4
	"2620:4f:8000::/48", // AS112
	"3fff::/20",         // documentation
)

// globalIPv6 is what has been given out as global unicast (RFC 4291, IANA); everything else of IPv6 is refused.
var globalIPv6 = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// public says whether an address is on the public internet.
func public(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return false
	}
	if a.Is6() && !globalIPv6.Contains(a) {
		return false
	}
	for _, p := range refusedRanges {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// Rules say what may be reached beside the public internet.
type Rules struct {
	prefixes []netip.Prefix
	hosts    map[string]bool
}

// ParseRules reads an operator's list. An entry is a range of addresses ("10.1.0.0/16"), an address, or the name of a host, whose addresses are
// then allowed whatever they are.
func ParseRules(list []string) (Rules, error) {
	r := Rules{hosts: map[string]bool{}}
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			if p.Addr().Is4In6() {
				return r, fmt.Errorf("%q: write the range as IPv4", s)
			}
			r.prefixes = append(r.prefixes, p.Masked())
			continue
		}
		if a, err := netip.ParseAddr(s); err == nil {
			if a.Zone() != "" {
				return r, fmt.Errorf("%q has a zone", s)
			}
			a = a.Unmap()
			r.prefixes = append(r.prefixes, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		if name := hostName(s); name == "" || strings.ContainsAny(name, "/:*[] ") {
			return r, fmt.Errorf("%q is no address, range or name of a host", s)
		} else {
			r.hosts[name] = true
		}
	}
	return r, nil
}

// hostName is a name as it is compared.
func hostName(s string) string { return strings.TrimSuffix(strings.ToLower(s), ".") }

// allow says whether a connection for a host may go to an address.
func (r *Rules) allow(host string, a netip.Addr, own func() []netip.Addr) bool {
	if r.hosts[hostName(host)] {
		return true
	}
	if a.Zone() == "" {
		for _, p := range r.prefixes {
			if p.Contains(a.Unmap()) {
				return true
			}
		}
	}
	if !public(a) {
		return false
	}
	for _, o := range own() {
		if o.Unmap() == a.Unmap() {
			return false
		}
	}
	return true
}

// ownAddresses are this machine's: a connection to one of them would come from inside its firewall.
func ownAddresses() (out []netip.Addr) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, ip.Unmap())
			}
		}
	}
	return out
}
