package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
)

// maxPEM bounds a key file; a real one has some hundred bytes.
const maxPEM = 1 << 16

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1} // RFC 5480
	oidSecp256k1   = asn1.ObjectIdentifier{1, 3, 132, 0, 10}       // SEC 2
	oidP256        = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
)

// sec1Key is the ECPrivateKey of SEC 1 / RFC 5915.
type sec1Key struct {
	Version    int
	PrivateKey []byte
	Curve      asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
	PublicKey  asn1.BitString        `asn1:"optional,explicit,tag:1"`
}

// pkcs8Key is the start of a PKCS #8 PrivateKeyInfo.
type pkcs8Key struct {
	Version    int
	Algorithm  pkix.AlgorithmIdentifier
	PrivateKey []byte
}

// EncodePEM returns the PEM form of an identity's private key.
func EncodePEM(id Identity) ([]byte, error) {
	switch id := id.(type) {
	case *Ed25519:
		der, err := x509.MarshalPKCS8PrivateKey(id.key)
		if err != nil {
			return nil, fmt.Errorf("encoding an ed25519 key: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	case *Secp256k1:
		pub := id.key.PubKey().SerializeUncompressed()
		der, err := asn1.Marshal(sec1Key{1, id.key.Serialize(), oidSecp256k1, asn1.BitString{Bytes: pub, BitLength: 8 * len(pub)}})
		if err != nil {
			return nil, fmt.Errorf("encoding a secp256k1 key: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
	case *P256:
		der, err := x509.MarshalECPrivateKey(id.key)
		if err != nil {
			return nil, fmt.Errorf("encoding a p-256 key: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
	}
	return nil, fmt.Errorf("%w: %T has no private key to keep", ErrUnsupported, id)
}

// ParsePEM reads the first private key of PEM text: Ed25519 in PKCS #8, or secp256k1 or P-256 in SEC 1 or PKCS #8.
func ParsePEM(text []byte) (Identity, error) {
	for len(text) > 0 {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		switch block.Type {
		case "EC PARAMETERS": // openssl writes the curve's name in front of the key
		case "EC PRIVATE KEY":
			return parseSEC1(block.Bytes, nil)
		case "PRIVATE KEY":
			return parsePKCS8(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, fmt.Errorf("%w: encrypted pem", ErrUnsupported)
		default:
			return nil, fmt.Errorf("%w: pem block %q", ErrUnsupported, block.Type)
		}
	}
	return nil, fmt.Errorf("%w: no private key in pem", ErrKey)
}

func parsePKCS8(der []byte) (Identity, error) {
	var k pkcs8Key
	if _, err := asn1.Unmarshal(der, &k); err != nil {
		return nil, fmt.Errorf("%w: pkcs #8: %w", ErrKey, err)
	}
	if k.Algorithm.Algorithm.Equal(oidECPublicKey) {
		var curve asn1.ObjectIdentifier
		if _, err := asn1.Unmarshal(k.Algorithm.Parameters.FullBytes, &curve); err != nil {
			return nil, fmt.Errorf("%w: pkcs #8 curve: %w", ErrKey, err)
		}
		return parseSEC1(k.PrivateKey, curve)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: pkcs #8: %w", ErrKey, err)
	}
	ed, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: %T", ErrUnsupported, key)
	}
	return NewEd25519(ed), nil
}

func parseSEC1(der []byte, curve asn1.ObjectIdentifier) (Identity, error) {
	var k sec1Key
	if _, err := asn1.Unmarshal(der, &k); err != nil {
		return nil, fmt.Errorf("%w: sec 1: %w", ErrKey, err)
	}
	if len(k.Curve) > 0 {
		curve = k.Curve
	}
	if len(k.PrivateKey) != 32 {
		return nil, fmt.Errorf("%w: private key of %d bytes on elliptic curve %v", ErrKey, len(k.PrivateKey), curve)
	}
	switch {
	case curve.Equal(oidSecp256k1):
		return NewSecp256k1([32]byte(k.PrivateKey))
	case curve.Equal(oidP256):
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), k.PrivateKey)
		if err != nil {
			return nil, fmt.Errorf("%w: p-256: %w", ErrKey, err)
		}
		return NewP256(key)
	}
	return nil, fmt.Errorf("%w: elliptic curve %v", ErrUnsupported, curve)
}

// Load reads an identity from a PEM file.
func Load(path string) (Identity, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("loading an identity: %w", err)
	}
	if info.Size() > maxPEM {
		return nil, fmt.Errorf("loading an identity: %w: %s has %d bytes", ErrKey, path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("loading an identity: %w", err)
	}
	id, err := ParsePEM(text)
	if err != nil {
		return nil, fmt.Errorf("loading the identity %s: %w", path, err)
	}
	return id, nil
}

// Save writes an identity to a new PEM file with mode 0600; it does not overwrite: the error is then os.ErrExist. The file
// appears whole or not at all.
func Save(path string, id Identity) error {
	text, err := EncodePEM(id)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".identity-*") // created with mode 0600
	if err != nil {
		return fmt.Errorf("saving an identity: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Link(tmp.Name(), path) // unlike a rename, fails when the name is taken
	}
	if err != nil {
		return fmt.Errorf("saving an identity: %w", err)
	}
	return nil
}
