package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"fusion/ic/certificate"
	"fusion/ic/hashtree"
	"fusion/ic/httpcert"
	"fusion/ic/principal"
)

// Errors of verification, beside those of ic/httpcert and ic/certificate.
var (
	errAge = errors.New("the certificate is not of now")
	// errOtherState means that the canister's certified data, as the certificate shows it, is not the root of the tree: the canister changed it, or the query saw a
	// state that is not certified yet.
	errOtherState = errors.New("the certified data is not the root of the response's tree")
	errDowngrade  = errors.New("the canister offers version 2 of response certification and answered with version 1")
)

// verifierFor returns the verifier of the subnet's key, which remembers the signatures that it has checked.
func (g *Gateway) verifierFor(rootKey []byte) (*certificate.Verifier, error) {
	if v := g.verifier.Load(); v != nil && bytes.Equal(v.RootKeyDER(), rootKey) {
		return v, nil
	}
	v, err := certificate.NewVerifier(rootKey)
	if err == nil {
		g.verifier.Store(v)
	}
	return v, err
}

// certified parses a certificate and checks that the subnet signed it, that it may speak for the canister and that it is recent.
func (g *Gateway) certified(raw []byte, canister principal.Principal) (*certificate.Certificate, error) {
	c, err := certificate.Parse(raw)
	if err != nil {
		return nil, err
	}
	v, err := g.verifierFor(g.b.RootKeyDER())
	if err != nil {
		return nil, err
	}
	if err := v.Verify(c, certificate.ForCanister(canister)); err != nil {
		return nil, err
	}
	at, err := c.Time()
	if err != nil {
		return nil, err
	}
	now := g.b.NowNs()
	if off := time.Duration(max(at, now) - min(at, now)); off < 0 || off > g.cfg.MaxAge {
		return nil, fmt.Errorf("%w: it is of %s, now is %s, at most %v apart", errAge,
			time.Unix(0, int64(at)).UTC().Format(time.RFC3339), time.Unix(0, int64(now)).UTC().Format(time.RFC3339), g.cfg.MaxAge)
	}
	return c, nil
}

// verify checks a response as a client of an untrusted replica does.
func (g *Gateway) verify(canister principal.Principal, req *httpcert.Request, res *httpcert.Response) (*httpcert.Verified, error) {
	h, err := httpcert.FindHeader(res)
	if err != nil {
		return nil, err
	}
	c, err := g.certified(h.Certificate, canister)
	if err != nil {
		return nil, err
	}
	tree, err := h.DecodeTree()
	if err != nil {
		return nil, err
	}
	found, data := c.Lookup([]byte("canister"), canister.Bytes(), []byte("certified_data"))
	if root := tree.Digest(); found != hashtree.Found || !bytes.Equal(data, root[:]) {
		return nil, fmt.Errorf("%w (certified data: %v)", errOtherState, found)
	}
	v, err := httpcert.Check(req, res, h, tree)
	if err == nil && v.Version < 2 {
		err = g.allowsVersion1(canister)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// versions is the metadata section in which a canister says which versions it offers (section "Response Verification Version Assertion").
const versions = "supported_certificate_versions"

// allowsVersion1 checks that a canister does not offer version 2: otherwise a replica could choose the weaker one.
func (g *Gateway) allowsVersion1(canister principal.Principal) error {
	if !g.b.MayReadMetadata(canister, versions, principal.Anonymous) {
		return fmt.Errorf("%w, as far as can be known: its metadata %s is private", errDowngrade, versions)
	}
	snap := g.b.Snapshot()
	if snap == nil {
		return fmt.Errorf("%w, as far as can be known: there is no certified state", errDowngrade)
	}
	path := [][]byte{[]byte("canister"), canister.Bytes(), []byte("metadata"), []byte(versions)}
	c, err := g.certified(snap.Certify(path), canister)
	if err != nil {
		return fmt.Errorf("asking for %s: %w", versions, err)
	}
	switch found, list := c.Lookup(path...); found {
	case hashtree.Absent:
		return nil
	case hashtree.Found:
		for v := range strings.SplitSeq(string(list), ",") {
			if n, err := strconv.Atoi(strings.TrimSpace(v)); err != nil || n >= 2 {
				return errDowngrade
			}
		}
		return nil
	default:
		return fmt.Errorf("%w, as far as can be known: its metadata %s is %v", errDowngrade, versions, found)
	}
}
