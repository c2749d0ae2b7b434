package gg18

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/bnb-chain/tss-lib/v2/tss"

	"fusion/chainkey"
)

// party drives one of the library's parties as a chainkey.Protocol: messages of a whole round in, messages of the next out.
type party struct {
	lib     tss.Party
	ids     tss.SortedPartyIDs
	seat    int
	kinds   []round // by round number minus one
	out     chan tss.Message
	filters []*filter // by seat
	ended   bool
}

// round says which messages a round has.
type round struct {
	broadcast, private string // the filter's name for it, empty if there is none
	limits             chainkey.Limits
}

func (p *party) Rounds() int { return len(p.kinds) }

func (p *party) Limits(r int) chainkey.Limits { return p.kinds[r-1].limits }

// guard runs the library and turns its errors and panics into ours.
func (p *party) guard(what string, run func() *tss.Error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			p.ended = true
			err = fmt.Errorf("%s: the library panicked: %v", what, v)
		}
	}()
	libErr := run()
	if libErr == nil {
		return nil
	}
	p.ended = true
	m := &chainkey.Misbehaviour{Reason: fmt.Sprintf("%s: %v", what, libErr.Cause())}
	for _, id := range libErr.Culprits() {
		if id != nil && id.Index != p.seat && !slices.Contains(m.Seats, id.Index) {
			m.Seats = append(m.Seats, id.Index)
		}
	}
	return m
}

var errEnded = errors.New("the protocol has ended")

func (p *party) start() (chainkey.Output, error) {
	if p.ended {
		return chainkey.Output{}, errEnded
	}
	if err := p.guard("starting", p.lib.Start); err != nil {
		return chainkey.Output{}, err
	}
	return p.drain(1)
}

func (p *party) deliver(r int, in []chainkey.Input) (chainkey.Output, error) {
	if p.ended {
		return chainkey.Output{}, errEnded
	}
	k := p.kinds[r-1]
	type fed struct {
		from      int
		broadcast bool
		content   tss.MessageContent
	}
	var feed []fed
	// All messages of the round are judged before the library sees the first: it must never start a round half judged.
	for seat, m := range in {
		if seat == p.seat {
			continue
		}
		for _, part := range []struct {
			kind      string
			wire      []byte
			broadcast bool
		}{{k.private, m.Private, false}, {k.broadcast, m.Broadcast, true}} {
			if part.kind == "" {
				if len(part.wire) > 0 {
					return chainkey.Output{}, chainkey.Blame(seat, "a message that round %d does not have", r)
				}
				continue
			}
			c, err := p.filters[seat].check(part.kind, part.wire)
			if err != nil {
				p.ended = true
				return chainkey.Output{}, chainkey.Blame(seat, "%s: %v", part.kind, err)
			}
			feed = append(feed, fed{seat, part.broadcast, c})
		}
	}
	for _, f := range feed {
		routing := tss.MessageRouting{From: p.ids[f.from], IsBroadcast: f.broadcast}
		if !f.broadcast {
			routing.To = []*tss.PartyID{p.ids[p.seat]}
		}
		message := tss.NewMessage(routing, f.content, tss.NewMessageWrapper(routing, f.content))
		if err := p.guard(fmt.Sprintf("round %d", r), func() *tss.Error {
			_, err := p.lib.Update(message)
			return err
		}); err != nil {
			return chainkey.Output{}, err
		}
	}
	if r == len(p.kinds) {
		p.ended = true
		return chainkey.Output{Done: true}, nil
	}
	return p.drain(r + 1)
}

// drain collects what the library said; everything it says at once belongs to one round.
func (p *party) drain(r int) (chainkey.Output, error) {
	var out chainkey.Output
	k := p.kinds[r-1]
	if k.private != "" {
		out.Private = make([][]byte, len(p.ids))
	}
	for len(p.out) > 0 {
		m := <-p.out
		wire, routing, err := m.WireBytes()
		if err != nil {
			return out, fmt.Errorf("round %d: encoding the library's message: %w", r, err)
		}
		switch {
		case routing.IsBroadcast && k.broadcast != "" && out.Broadcast == nil:
			out.Broadcast = wire
		case !routing.IsBroadcast && out.Private != nil && len(routing.To) == 1 && out.Private[routing.To[0].Index] == nil:
			out.Private[routing.To[0].Index] = wire
		default:
			return out, fmt.Errorf("round %d: the library said something unexpected: %s", r, m.Type())
		}
	}
	if k.broadcast != "" && out.Broadcast == nil {
		return out, fmt.Errorf("round %d: the library said nothing", r)
	}
	return out, nil
}

// bound derives a number from a session id, a purpose and a seat. It ends in the seat, so that the library's sorting keeps seats
// in order, and is below the group order.
func bound(session [32]byte, purpose string, seat int) *big.Int {
	h := sha256.New()
	h.Write([]byte("fusion/gg18/" + purpose + "\x00"))
	h.Write(session[:])
	b := h.Sum(nil)
	b[0] &= 0x7f
	b[0] |= 0x40 // never short, so that the encoding has a fixed length
	binary.BigEndian.PutUint32(b[28:], uint32(seat)+1)
	return new(big.Int).SetBytes(b)
}

// partyIDs names the members for the library, in the order of seats.
func partyIDs(keys []*big.Int) (tss.SortedPartyIDs, error) {
	var ids tss.UnSortedPartyIDs
	for seat, k := range keys {
		ids = append(ids, tss.NewPartyID(fmt.Sprint(seat), fmt.Sprint(seat), k))
	}
	sorted := tss.SortPartyIDs(ids)
	for seat, id := range sorted {
		if id.Id != fmt.Sprint(seat) {
			return nil, errors.New("members' indices are not in the order of their seats")
		}
	}
	return sorted, nil
}
