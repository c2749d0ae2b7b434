package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"

	"fusion/ic/cbor"
	"fusion/ic/principal"
)

// Algorithm is a signature scheme of web authentication, by its number in the COSE registry.
type Algorithm int64

// The schemes that the Internet Computer accepts (interface specification, section "Web Authentication").
const (
	ES256 Algorithm = -7   // ECDSA on P-256 with SHA-256
	EdDSA Algorithm = -8   // on Ed25519
	RS256 Algorithm = -257 // RSASSA-PKCS1-v1_5 with SHA-256
)

// Labels of COSE keys and their values (RFC 9052 section 7, RFC 9053 section 7, RFC 8230 section 4).
const (
	coseType, coseAlgorithm = 1, 3
	coseCurve               = -1 // of ktyOKP and ktyEC2
	coseX, coseY            = -2, -3
	coseModulus             = -1 // of ktyRSA
	coseExponent            = -2

	ktyOKP, ktyEC2, ktyRSA = 1, 2, 3
	curveP256, curveEd     = 1, 6
)

// Bounds of RSA keys in bits, those of dfinity/ic; a larger one costs every replica more than a millisecond a signature.
const (
	minRSA = 2048
	maxRSA = 8192
)

// Bounds of what an authenticator and a browser add to a signature; real ones have some hundred bytes.
const (
	maxAuthenticatorData = 16 << 10
	maxClientData        = 16 << 10
)

// webAuthnKey verifies what an authenticator signed in answer to a challenge.
type webAuthnKey struct{ verify func(signed, sig []byte) bool }

// parseCOSE reads a COSE key: exactly the parameters of its type, as authenticators write credential keys (Web Authentication
// Level 2, section 6.5.1.1).
func parseCOSE(b []byte) (*webAuthnKey, error) {
	var ints [2]int64 // type and algorithm
	var curve int64
	fields := map[int64][]byte{}
	r := cbor.NewReader(b)
	err := r.IntMap(func(label int64) (err error) {
		if _, twice := fields[label]; twice {
			return fmt.Errorf("label %d twice", label)
		}
		fields[label] = nil
		switch {
		case label == coseType:
			ints[0], err = r.Int()
		case label == coseAlgorithm:
			ints[1], err = r.Int()
		case label == coseCurve && ints[0] != ktyRSA: // canonical maps begin with the type
			curve, err = r.Int()
		case label == coseModulus, label == coseX, label == coseY:
			fields[label], err = r.Bytes()
		default:
			err = fmt.Errorf("unexpected label %d", label)
		}
		return err
	})
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: cose: %w", ErrKey, err)
	}
	switch kind := [...]int64{ints[0], ints[1], curve}; {
	case kind == [...]int64{ktyEC2, int64(ES256), curveP256} && len(fields) == 5:
		return coseP256(fields[coseX], fields[coseY])
	case kind == [...]int64{ktyOKP, int64(EdDSA), curveEd} && len(fields) == 4:
		key, err := newEd25519Key(fields[coseX])
		if err != nil {
			return nil, err
		}
		return &webAuthnKey{func(signed, sig []byte) bool { return key.Verify(signed, sig) == nil }}, nil
	case kind == [...]int64{ktyRSA, int64(RS256), 0} && len(fields) == 4:
		return coseRSA(fields[coseModulus], fields[coseExponent])
	}
	return nil, fmt.Errorf("%w: cose key of type %d, algorithm %d, curve %d with %d parameters", ErrUnsupported, ints[0], ints[1], curve, len(fields))
}

func coseP256(x, y []byte) (*webAuthnKey, error) {
	if len(x) != 32 || len(y) != 32 {
		return nil, fmt.Errorf("%w: cose: coordinates of %d and %d bytes", ErrKey, len(x), len(y))
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		return nil, fmt.Errorf("%w: cose: %w", ErrKey, err)
	}
	return &webAuthnKey{func(signed, sig []byte) bool {
		hash := sha256.Sum256(signed)
		return ecdsa.VerifyASN1(key, hash[:], sig)
	}}, nil
}

func coseRSA(modulus, exponent []byte) (*webAuthnKey, error) {
	n := new(big.Int).SetBytes(modulus)
	if bits := n.BitLen(); bits < minRSA || bits > maxRSA || modulus[0] == 0 || n.Bit(0) == 0 {
		return nil, fmt.Errorf("%w: cose: rsa modulus of %d bits, which must be odd and have %d to %d", ErrKey, bits, minRSA, maxRSA)
	}
	e := new(big.Int).SetBytes(exponent)
	if len(exponent) == 0 || exponent[0] == 0 || e.BitLen() > 31 || e.Bit(0) == 0 || e.Cmp(big.NewInt(3)) < 0 {
		return nil, fmt.Errorf("%w: cose: rsa exponent %x", ErrKey, exponent[:min(len(exponent), 8)])
	}
	key := &rsa.PublicKey{N: n, E: int(e.Int64())}
	return &webAuthnKey{func(signed, sig []byte) bool {
		hash := sha256.Sum256(signed)
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, hash[:], sig) == nil
	}}, nil
}

// Verify checks an assertion: that its challenge is msg, and the authenticator's signature. Who the relying party is, and whether
// the user was present, is between the user and the authenticator: a principal is a key, whatever it was made for.
func (k *webAuthnKey) Verify(msg, sig []byte) error {
	a, err := parseAssertion(sig)
	if err != nil {
		return fmt.Errorf("%w: web authentication: %w", ErrSignature, err)
	}
	challenge, err := clientChallenge(a.clientData)
	switch {
	case err != nil:
		return fmt.Errorf("%w: web authentication: client data: %w", ErrSignature, err)
	case !bytes.Equal(challenge, msg):
		return fmt.Errorf("%w: web authentication: the challenge is another message", ErrSignature)
	case !k.verify(a.signed(), a.signature):
		return fmt.Errorf("%w: web authentication", ErrSignature)
	}
	return nil
}

// assertion is a signature of web authentication as requests carry it.
type assertion struct{ authenticatorData, clientData, signature []byte }

// signed is what the authenticator signed.
func (a *assertion) signed() []byte {
	hash := sha256.Sum256(a.clientData)
	return append(append(make([]byte, 0, len(a.authenticatorData)+len(hash)), a.authenticatorData...), hash[:]...)
}

func parseAssertion(b []byte) (*assertion, error) {
	r := cbor.NewReader(b)
	r.SelfDescribe()
	a := new(assertion)
	err := r.Map(func(key []byte) error {
		var dst *[]byte
		read := r.Bytes
		switch string(key) {
		case "authenticator_data":
			dst = &a.authenticatorData
		case "client_data_json":
			dst, read = &a.clientData, r.BytesOrText // the specification says text; replicas of the Internet Computer take both
		case "signature":
			dst = &a.signature
		default:
			return fmt.Errorf("unknown field %q", key[:min(len(key), 32)])
		}
		if *dst != nil {
			return fmt.Errorf("field %q twice", key)
		}
		v, err := read()
		*dst = v
		return err
	})
	if err == nil {
		err = r.End()
	}
	switch {
	case err != nil:
		return nil, err
	case a.authenticatorData == nil || a.clientData == nil || a.signature == nil:
		return nil, errors.New("a field is missing")
	case len(a.authenticatorData) > maxAuthenticatorData || len(a.clientData) > maxClientData:
		return nil, fmt.Errorf("%d bytes of authenticator data and %d of client data", len(a.authenticatorData), len(a.clientData))
	}
	return a, nil
}

func (a *assertion) encode() []byte {
	b := cbor.AppendMap(cbor.AppendSelfDescribe(nil), 3)
	b = cbor.AppendBytes(cbor.AppendText(b, "authenticator_data"), a.authenticatorData)
	b = cbor.AppendText(cbor.AppendText(b, "client_data_json"), string(a.clientData))
	return cbor.AppendBytes(cbor.AppendText(b, "signature"), a.signature)
}

// clientChallenge returns the challenge that a browser recorded in its client data. Names are compared exactly and no name may
// come twice, so that there is one way to read the object.
func clientChallenge(text []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("not a json object (%v)", err)
	}
	values := map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string) // names of an object's members are strings
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("member %.32q twice", name)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		values[name] = v
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, err
	}
	if d.More() {
		return nil, errors.New("text after the object")
	}
	var kind, challenge string
	if json.Unmarshal(values["type"], &kind) != nil || kind != "webauthn.get" {
		return nil, fmt.Errorf("type is %.32s, want \"webauthn.get\"", values["type"])
	}
	if err := json.Unmarshal(values["challenge"], &challenge); err != nil {
		return nil, fmt.Errorf("challenge: %w", err)
	}
	out, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	if err != nil {
		return nil, fmt.Errorf("challenge: %w", err)
	}
	return out, nil
}

// WebAuthn is an identity whose key is in an authenticator made of software: what a passkey is, for tests and simulations of
// its users.
type WebAuthn struct {
	origin string
	der    []byte
	sender principal.Principal
	sign   func(signed []byte) ([]byte, error)
}

// GenerateWebAuthn makes an authenticator with a fresh key, used from the web page at an origin such as "https://example.com".
func GenerateWebAuthn(alg Algorithm, origin string) (*WebAuthn, error) {
	var cose []byte
	id := &WebAuthn{origin: origin}
	switch alg {
	case ES256:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("generating a p-256 key: %w", err)
		}
		point, err := key.PublicKey.Bytes()
		if err != nil {
			return nil, fmt.Errorf("encoding a p-256 key: %w", err)
		}
		cose = coseHead(5, ktyEC2, ES256)
		cose = cbor.AppendInt(cbor.AppendInt(cose, coseCurve), curveP256)
		cose = cbor.AppendBytes(cbor.AppendInt(cose, coseX), point[1:33])
		cose = cbor.AppendBytes(cbor.AppendInt(cose, coseY), point[33:])
		id.sign = func(signed []byte) ([]byte, error) {
			hash := sha256.Sum256(signed)
			return ecdsa.SignASN1(rand.Reader, key, hash[:])
		}
	case EdDSA:
		pub, key, err := voi.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("generating an ed25519 key: %w", err)
		}
		cose = coseHead(4, ktyOKP, EdDSA)
		cose = cbor.AppendInt(cbor.AppendInt(cose, coseCurve), curveEd)
		cose = cbor.AppendBytes(cbor.AppendInt(cose, coseX), pub)
		id.sign = func(signed []byte) ([]byte, error) { return voi.Sign(key, signed), nil }
	case RS256:
		key, err := rsa.GenerateKey(rand.Reader, minRSA)
		if err != nil {
			return nil, fmt.Errorf("generating an rsa key: %w", err)
		}
		cose = coseHead(4, ktyRSA, RS256)
		cose = cbor.AppendBytes(cbor.AppendInt(cose, coseModulus), key.N.Bytes())
		cose = cbor.AppendBytes(cbor.AppendInt(cose, coseExponent), big.NewInt(int64(key.E)).Bytes())
		id.sign = func(signed []byte) ([]byte, error) {
			hash := sha256.Sum256(signed)
			return rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, hash[:])
		}
	default:
		return nil, fmt.Errorf("%w: web authentication with algorithm %d", ErrUnsupported, alg)
	}
	id.der = wrapDfinity(arcCOSE, cose)
	id.sender = principal.SelfAuthenticating(id.der)
	return id, nil
}

func coseHead(fields int, kty int64, alg Algorithm) []byte {
	b := cbor.AppendInt(cbor.AppendInt(cbor.AppendMap(nil, fields), coseType), kty)
	return cbor.AppendInt(cbor.AppendInt(b, coseAlgorithm), int64(alg))
}

// Sender implements Identity.
func (id *WebAuthn) Sender() principal.Principal { return id.sender }

// PublicKeyDER implements Identity.
func (id *WebAuthn) PublicKeyDER() []byte { return id.der }

// Sign implements Identity: it answers msg as a challenge.
func (id *WebAuthn) Sign(msg []byte) ([]byte, error) {
	client, err := json.Marshal(map[string]any{"type": "webauthn.get", "challenge": base64.RawURLEncoding.EncodeToString(msg),
		"origin": id.origin, "crossOrigin": false})
	if err != nil {
		return nil, fmt.Errorf("client data: %w", err)
	}
	relying := sha256.Sum256([]byte(id.origin))
	// The relying party's hash, the flags "user present" and "user verified", and a counter that some authenticators leave at zero.
	data := binary.BigEndian.AppendUint32(append(relying[:], 0x05), 0)
	a := assertion{authenticatorData: data, clientData: client}
	if a.signature, err = id.sign(a.signed()); err != nil {
		return nil, fmt.Errorf("signing with an authenticator: %w", err)
	}
	return a.encode(), nil
}
