package watch

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Webhooks follow the Standard Webhooks specification (github.com/standard-webhooks), so that its libraries check them.
const (
	HeaderID        = "Webhook-Id"        // the event's ID
	HeaderTimestamp = "Webhook-Timestamp" // of this attempt, seconds since 1970
	HeaderSignature = "Webhook-Signature" // one or more of "v1," and the signature in base64, with spaces between
)

// Tolerance is how old or how far ahead a webhook's timestamp may be for Verify.
const Tolerance = 5 * time.Minute

// MaxSecrets bounds the secrets of a file: the one in use and those that replace it.
const MaxSecrets = 4

// Errors of webhooks; test with errors.Is.
var (
	ErrSignature = errors.New("webhook's signature does not verify")
	ErrSecret    = errors.New("bad webhook secret")
	ErrURL       = errors.New("bad webhook address")
	ErrReceiver  = errors.New("the receiver did not accept the event")
)

// Secret signs webhooks. It prints as nothing, so that no log has it.
type Secret struct{ key []byte }

// String hides the secret.
func (Secret) String() string { return "[secret]" }

// GoString hides the secret.
func (Secret) GoString() string { return "[secret]" }

// ParseSecret reads "whsec_" and 24 to 64 bytes in base64.
func ParseSecret(text string) (Secret, error) {
	b64, ok := strings.CutPrefix(text, "whsec_")
	if !ok {
		return Secret{}, fmt.Errorf("%w: it does not begin with whsec_", ErrSecret)
	}
	key, err := base64.StdEncoding.DecodeString(b64)
	if err != nil || len(key) < 24 || len(key) > 64 {
		return Secret{}, fmt.Errorf("%w: want 24 to 64 bytes in base64 behind whsec_", ErrSecret)
	}
	return Secret{key}, nil
}

// ReadSecrets reads a file of secrets, a line each, that only its owner may read. Events are signed with all of them, so that a receiver
// can change from one to the next.
func ReadSecrets(path string) (out []Secret, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSecret, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSecret, err)
	}
	if mode := st.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%w: others may read %s (mode %04o); make it 0600 and the secret a new one", ErrSecret, path, mode)
	}
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSecret, err)
	}
	for _, line := range strings.Fields(string(b)) {
		s, err := ParseSecret(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, s)
	}
	if len(out) == 0 || len(out) > MaxSecrets {
		return nil, fmt.Errorf("%w: %s has %d, want 1 to %d", ErrSecret, path, len(out), MaxSecrets)
	}
	return out, nil
}

func (s Secret) sign(id, timestamp string, body []byte) []byte {
	m := hmac.New(sha256.New, s.key)
	fmt.Fprintf(m, "%s.%s.", id, timestamp)
	m.Write(body)
	return m.Sum(nil)
}

// Sign returns the value of the signature header for an attempt.
func Sign(secrets []Secret, id, timestamp string, body []byte) string {
	var list []string
	for _, s := range secrets {
		list = append(list, "v1,"+base64.StdEncoding.EncodeToString(s.sign(id, timestamp, body)))
	}
	return strings.Join(list, " ")
}

// Verify checks a webhook, as its receiver does: the signature with one of its secrets, and that the attempt is recent. The receiver then
// books the event unless it has booked its ID before, and answers 2xx once it is on disk.
func Verify(secrets []Secret, h http.Header, body []byte, now time.Time) error {
	ts := h.Get(HeaderTimestamp)
	sec, err := strconv.ParseInt(ts, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: timestamp %q", ErrSignature, ts)
	}
	if d := now.Sub(time.Unix(sec, 0)); d > Tolerance || d < -Tolerance {
		return fmt.Errorf("%w: it was made %s from now", ErrSignature, d.Round(time.Second))
	}
	for _, one := range strings.Fields(h.Get(HeaderSignature)) {
		b64, ok := strings.CutPrefix(one, "v1,")
		sig, err := base64.StdEncoding.DecodeString(b64)
		if !ok || err != nil {
			continue // of a later version
		}
		for _, s := range secrets {
			if hmac.Equal(sig, s.sign(h.Get(HeaderID), ts, body)) {
				return nil
			}
		}
	}
	return ErrSignature
}

// Webhook says where events are posted.
type Webhook struct {
	// URL is https, or http if the host is this machine.
	URL string
	// Secrets sign; at least one.
	Secrets []Secret
	// Timeout is for one attempt. The default is 10 seconds.
	Timeout time.Duration
	// TLS replaces the settings of https, such as the trusted roots. The minimum is TLS 1.2 in any case.
	TLS *tls.Config
	// Now is the clock. The default is time.Now.
	Now func() time.Time
}

// retryAfter is a refusal that says when to come again.
type retryAfter struct {
	error
	after time.Duration
}

func (e retryAfter) Unwrap() error { return e.error }

// allowedHost refuses addresses that no receiver has: those of a link, under which clouds hand out credentials, and of groups.
func allowedHost(ip netip.Addr) error {
	ip = ip.Unmap()
	if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip.IsInterfaceLocalMulticast() {
		return fmt.Errorf("%w: %s is no address of a receiver", ErrURL, ip)
	}
	return nil
}

// deliver returns the function that posts an event. It goes nowhere but to the URL: no proxy, no redirect, no cookie.
func (w Webhook) deliver() (func(ctx context.Context, id string, body []byte) error, error) {
	u, err := url.Parse(w.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("%w: want https://host/path without user and fragment", ErrURL)
	}
	local := u.Hostname() == "localhost"
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := allowedHost(ip); err != nil {
			return nil, err
		}
		local = ip.IsLoopback()
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && local) {
		return nil, fmt.Errorf("%w: want https; http is for this machine only", ErrURL)
	}
	if len(w.Secrets) == 0 || len(w.Secrets) > MaxSecrets {
		return nil, fmt.Errorf("%w: %d of them, want 1 to %d", ErrSecret, len(w.Secrets), MaxSecrets)
	}
	if w.Timeout <= 0 {
		w.Timeout = 10 * time.Second
	}
	if w.Now == nil {
		w.Now = time.Now
	}
	settings := &tls.Config{}
	if w.TLS != nil {
		settings = w.TLS.Clone()
	}
	settings.MinVersion = max(settings.MinVersion, tls.VersionTLS12)
	dialer := &net.Dialer{Timeout: w.Timeout, Control: func(_, address string, _ syscall.RawConn) error { // after the name was looked up
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrURL, err)
		}
		return allowedHost(ap.Addr())
	}}
	client := &http.Client{
		Timeout:       w.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: settings, TLSHandshakeTimeout: w.Timeout,
			ResponseHeaderTimeout: w.Timeout, MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second, DisableCompression: true},
	}
	target := u.String()
	return func(ctx context.Context, id string, body []byte) error {
		ts := strconv.FormatInt(w.Now().Unix(), 10)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrURL, err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("User-Agent", "fusion-exchange")
		req.Header.Set(HeaderID, id)
		req.Header.Set(HeaderTimestamp, ts)
		req.Header.Set(HeaderSignature, Sign(w.Secrets, id, ts, body))
		res, err := client.Do(req)
		if err != nil {
			var ue *url.Error
			if errors.As(err, &ue) { // which has the whole URL, and a URL may have a token in it
				err = ue.Err
			}
			return fmt.Errorf("%w: %w", ErrReceiver, err)
		}
		defer res.Body.Close()
		_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be used again
		if res.StatusCode >= 200 && res.StatusCode < 300 {
			return nil
		}
		err = fmt.Errorf("%w: status %d", ErrReceiver, res.StatusCode)
		if s, convErr := strconv.Atoi(res.Header.Get("Retry-After")); convErr == nil && s > 0 {
			return retryAfter{err, time.Duration(min(s, int(maxBackoff/time.Second))) * time.Second}
		}
		return err
	}, nil
}
