// Package hosts gives processes of one machine a host each: a network namespace of Linux with an address of its own, and packets that travel between
// them, are late, are lost, or do not arrive at all. Nothing of the machine's own network is changed, and nothing stays behind: a namespace ends with the
// last process that is in it.
//
// Each namespace has a loopback interface and a TUN device, whose other end is this process. It is the switch that all packets pass, so what the kernels'
// TCP does about delay and loss is real. A caller creates hosts by New, starts processes by In, and closes the Switch when they have ended.
//
// Linux only, and only with CAP_SYS_ADMIN, CAP_NET_ADMIN (root has both) and /dev/net/tun; otherwise New returns ErrUnavailable.
package hosts

import (
	"errors"
	"fmt"
	"time"
)

// ErrUnavailable says that this machine or this user cannot make hosts.
var ErrUnavailable = errors.New("network namespaces are not available")

// Available tells whether New can make hosts: nil, or ErrUnavailable and why.
func Available() error {
	s, err := New(1, Links{})
	if err != nil {
		return err
	}
	return s.Close()
}

// Most is how many hosts there can be.
const Most = 250

// Links are the ways between any two hosts.
type Links struct {
	// Delay is how long each packet travels, one way, and Jitter how much longer at most. Packets of one way do not overtake each other.
	Delay, Jitter time.Duration
	// Loss is the share of packets that do not arrive.
	Loss float64
}

// Address is that of a host, from 0, in the network for documentation (RFC 5737), which means nothing anywhere else.
func Address(host int) string { return fmt.Sprintf("192.0.2.%d", host+1) }
