package http

import (
	"unicode/utf8"

	"fusion/ic/envelope"
	"fusion/ic/principal"
)

var labelRequest = []byte("request_status")

// checkPaths refuses a read_state request with a path that its sender may not read at this URL (section "Request: Read state").
func (h *Handler) checkPaths(req *request, snap *Snapshot) error {
	var about struct{ request, ranges []byte } // all paths of these prefixes must be about one id
	for i, path := range req.env.Content.Paths {
		if len(path) == 0 {
			return forbidden("path %d is empty", i)
		}
		ok := false
		switch label := string(path[0]); label {
		case "time":
			ok = len(path) == 1
		case "api_boundary_nodes":
			ok = len(path) <= 2 || len(path) == 3 && oneOf(path[2], "domain", "ipv4_address", "ipv6_address")
		case "subnet":
			ok = h.subnetPath(req, path)
		case "canister_ranges":
			ok = req.subnet && len(path) == 2
			if ok && about.ranges != nil && string(about.ranges) != string(path[1]) {
				return badRequest("path %d: all paths below /canister_ranges must be about one subnet", i)
			}
			if ok {
				about.ranges = path[1]
			}
		case "request_status":
			if len(path) < 2 || len(path[1]) != len(envelope.ID{}) {
				return badRequest("path %d: /request_status must be followed by a request id of 32 bytes", i)
			}
			if about.request != nil && string(about.request) != string(path[1]) {
				return badRequest("path %d: all paths below /request_status must be about one request id", i)
			}
			about.request = path[1]
			ok = len(path) == 2 || len(path) == 3 && oneOf(path[2], "status", "reply", "reject_code", "reject_message", "error_code")
		case "canister":
			ok = !req.subnet && h.canisterPath(req, path)
		}
		if !ok {
			return forbidden("path %d, %s, cannot be read here", i, render(path))
		}
	}
	if about.request != nil && !h.ownsRequest(req, snap, envelope.ID(about.request)) {
		return forbidden("the request was not sent by %s to %s", req.env.Content.Sender, req.effective)
	}
	return nil
}

func (h *Handler) subnetPath(req *request, path [][]byte) bool {
	switch len(path) {
	case 1, 2:
		return true
	case 3:
		switch string(path[2]) {
		case "public_key", "type", "node":
			return true
		case "canister_ranges":
			self := h.b.SubnetID() // which is the root subnet
			return req.version == 2 || string(path[1]) == string(self.Bytes())
		case "metrics":
			return req.subnet && string(path[1]) == string(req.effective.Bytes())
		}
	case 4:
		return string(path[2]) == "node"
	case 5:
		return string(path[2]) == "node" && string(path[4]) == "public_key"
	}
	return false
}

func (h *Handler) canisterPath(req *request, path [][]byte) bool {
	if len(path) < 3 || string(path[1]) != string(req.effective.Bytes()) {
		return false
	}
	switch string(path[2]) {
	case "module_hash", "controllers", "canister_creation_timestamp", "last_install_timestamp":
		return len(path) == 3
	case "metadata":
		// A delegation for other canisters does not make its holder a controller here.
		user := req.env.Content.Sender
		if !req.env.Allows(req.effective) {
			user = principal.Anonymous
		}
		return len(path) == 4 && utf8.Valid(path[3]) && h.b.MayReadMetadata(req.effective, string(path[3]), user)
	}
	return false
}

// ownsRequest reports whether the sender may read the status of a request id: nobody has used the id, or this sender has.
func (h *Handler) ownsRequest(req *request, snap *Snapshot, id envelope.ID) bool {
	owner, known := h.b.Owner(id)
	if !known {
		// The newest state may have forgotten what the certified one still shows.
		return snap.Tree.Sub(labelRequest, id[:]) == nil
	}
	if owner.Sender != req.env.Content.Sender {
		return false
	}
	if owner.Effective.IsManagement() {
		return true
	}
	return !req.subnet && owner.Effective == req.effective && req.env.Allows(owner.Effective)
}

func oneOf(label []byte, names ...string) bool {
	for _, n := range names {
		if string(label) == n {
			return true
		}
	}
	return false
}

// render shows a path in an error: text as it is, other labels as principals or by their size.
func render(path [][]byte) string {
	out := ""
	for i, l := range path {
		if i == 6 {
			return out + "/…"
		}
		out += "/"
		p, err := principal.FromBytes(l)
		switch {
		case len(l) <= 32 && isPlain(l):
			out += string(l)
		case err == nil:
			out += p.String()
		default:
			out += "(bytes)"
		}
	}
	return out
}

func isPlain(l []byte) bool {
	for _, c := range l {
		if c < 0x20 || c >= 0x7f {
			return false
		}
	}
	return len(l) > 0
}
