package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"fusion/btc"
	"fusion/chainkey"
	"fusion/chainkey/vetkd"
	"fusion/eth"
	"fusion/ic/agent/keys"
	"fusion/ic/principal"
	"fusion/replica"
)

func keyCmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "list and derive threshold keys; back up and restore a replica's shares of them"}
	cmd.AddCommand(keyListCmd(o), keyDeriveCmd(o), keyAddressCmd(o), keyBackupCmd(), keyRestoreCmd())
	return cmd
}

func keyListCmd(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "list", Short: "list the local network's threshold keys with their public keys and chain codes", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := o.rootKeys(c.Context())
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			if asJSON {
				fmt.Fprint(w, toJSON(list))
				return nil
			}
			for _, k := range list {
				fmt.Fprintf(w, "%s: %s\n", k.ID, k.State)
				if k.Active {
					fmt.Fprintf(w, "  public key  %s\n", k.PublicKey)
				}
				if k.ChainCode != "" {
					fmt.Fprintf(w, "  chain code  %s\n", k.ChainCode)
				}
				if k.Scheme != "" {
					fmt.Fprintf(w, "  scheme      %s\n", k.Scheme)
				}
			}
			return nil
		}}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

// rootKeys asks the local network for its keys.
func (o *options) rootKeys(ctx context.Context) ([]replica.Key, error) {
	s, err := networkStatus(ctx, o.dir)
	if err != nil {
		return nil, err
	}
	for _, r := range s.Replicas {
		if len(r.Keys) > 0 {
			return r.Keys, nil
		}
	}
	return nil, hint(errors.New("the network has no threshold keys yet"), "fusion status says what it waits for")
}

// derivation is what the flags of derive and address say.
type derivation struct {
	key, algorithm, public, chain string
	canister                      string
	path                          []string
	context                       string
	json                          bool
}

func (d *derivation) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&d.key, "key", "", "key of the running local network, as fusion key list names it; the default is the one of --algorithm")
	f.StringVar(&d.algorithm, "algorithm", string(chainkey.EcdsaSecp256k1), "ecdsa_secp256k1, bip340_secp256k1, ed25519 or bls12_381_g2")
	f.StringVar(&d.public, "public-key", "", "public key to derive from, in hexadecimal, instead of asking a network")
	f.StringVar(&d.chain, "chain-code", "", "its chain code, 32 bytes in hexadecimal")
	f.StringVar(&d.canister, "canister", "", "canister whose key it is; without it the path begins at the given key itself")
	f.StringArrayVar(&d.path, "path", nil, "path element, repeatable: 0x… for bytes, text:…, principal:…, or a number below 2^31 for four bytes as in BIP32")
	f.StringVar(&d.context, "context", "", "for bls12_381_g2, which has no paths: the context, written like a path element")
	f.BoolVar(&d.json, "json", false, "print as JSON")
}

const pathHint = "write 0x… for bytes, text:…, principal:…, or a number below 2147483648 for four bytes"

// parseElement reads a path element.
func parseElement(text string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(text, "0x"); ok {
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, hint(fmt.Errorf("path element %q: %w", text, err), pathHint)
		}
		return b, nil
	}
	if b, ok := strings.CutPrefix(text, "text:"); ok {
		return []byte(b), nil
	}
	if p, ok := strings.CutPrefix(text, "principal:"); ok {
		id, err := parsePrincipal(p, "principal")
		return id.Bytes(), err
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return nil, hint(fmt.Errorf("path element %q is neither bytes, text, a principal nor an index", text), pathHint)
	}
	return binary.BigEndian.AppendUint32(nil, uint32(n)), nil
}

// root is the key to derive from: that of the flags, or the network's.
func (d *derivation) root(ctx context.Context, o *options) (k keys.Key, err error) {
	k.Algorithm = chainkey.Algorithm(d.algorithm)
	if !k.Algorithm.Valid() {
		return k, fmt.Errorf("--algorithm: %w: %q", chainkey.ErrAlgorithm, d.algorithm)
	}
	public, chain := d.public, d.chain
	if public == "" {
		if chain != "" {
			return k, errors.New("--chain-code needs --public-key")
		}
		list, err := o.rootKeys(ctx)
		if err != nil {
			return k, err
		}
		found := false
		for _, r := range list {
			if found = r.Active && (r.ID.String() == d.key || d.key == "" && r.ID.Algorithm == k.Algorithm); found {
				k.Algorithm, public, chain = r.ID.Algorithm, r.PublicKey, r.ChainCode
				break
			}
		}
		if !found && d.key != "" {
			return k, hint(fmt.Errorf("no active key %q", d.key), "fusion key list shows all")
		} else if !found {
			return k, hint(fmt.Errorf("no active key of algorithm %s", k.Algorithm), "fusion key list shows all")
		}
	} else if d.key != "" {
		return k, errors.New("--key and --public-key both name the key to derive from")
	}
	if k.PublicKey, err = hex.DecodeString(public); err != nil || len(k.PublicKey) != k.Algorithm.PublicKeySize() {
		return k, fmt.Errorf("--public-key is not the %d bytes of a key of %s in hexadecimal", k.Algorithm.PublicKeySize(), k.Algorithm)
	}
	if k.Algorithm == chainkey.Bls12381G2 {
		return k, nil
	}
	code, err := hex.DecodeString(chain)
	if err != nil || len(code) != len(k.ChainCode) {
		return k, hint(fmt.Errorf("--chain-code is not %d bytes in hexadecimal", len(k.ChainCode)), "keys are derived from a public key and its chain code; fusion key list shows both")
	}
	k.ChainCode = [32]byte(code)
	return k, nil
}

// run derives the key.
func (d *derivation) run(ctx context.Context, o *options) (k keys.Key, err error) {
	if k, err = d.root(ctx, o); err != nil {
		return k, err
	}
	var path [][]byte
	for _, text := range d.path {
		element, err := parseElement(text)
		if err != nil {
			return k, err
		}
		path = append(path, element)
	}
	var canister principal.Principal
	if d.canister != "" {
		if canister, err = parsePrincipal(d.canister, "canister id"); err != nil {
			return k, err
		}
	}
	if k.Algorithm == chainkey.Bls12381G2 {
		if d.canister == "" || len(path) > 0 {
			return k, errors.New("keys of bls12_381_g2 are derived for a --canister and a --context, not by a path")
		}
		var input []byte
		if d.context != "" {
			if input, err = parseElement(d.context); err != nil {
				return k, err
			}
		}
		public, err := vetkd.DerivePublicKey(k.PublicKey, canister.Bytes(), input)
		if err != nil {
			return k, err
		}
		k.PublicKey = public[:]
		return k, nil
	}
	if d.context != "" {
		return k, errors.New("--context is for keys of bls12_381_g2; the others have a --path")
	}
	if d.canister != "" {
		return k.Of(canister, path...)
	}
	return k.Below(path...)
}

// derivedKey is a key as it is printed.
type derivedKey struct {
	Algorithm    chainkey.Algorithm `json:"algorithm"`
	PublicKey    string             `json:"public_key"`
	Uncompressed string             `json:"uncompressed,omitempty"`
	XOnly        string             `json:"x_only,omitempty"`
	ChainCode    string             `json:"chain_code,omitempty"`
}

func keyDeriveCmd(o *options) *cobra.Command {
	d := &derivation{}
	cmd := &cobra.Command{Use: "derive", Short: "derive a canister's public key from the subnet's root key", Args: cobra.NoArgs,
		Long: `Derive a canister's public key from the subnet's root key: the one that ecdsa_public_key, schnorr_public_key and vetkd_public_key
answer with. Nothing is asked where --public-key and --chain-code say what to derive from; otherwise the local network is
asked for its root key.

  fusion key derive --canister mxzaz-hqaaa-aaaar-qaada-cai --path 0x01 --path principal:aaaaa-aa
  fusion key derive --algorithm ed25519 --public-key HEX --chain-code HEX --canister ID --path text:savings`,
		RunE: func(c *cobra.Command, _ []string) error {
			k, err := d.run(c.Context(), o)
			if err != nil {
				return err
			}
			out := derivedKey{Algorithm: k.Algorithm, PublicKey: hex.EncodeToString(k.PublicKey)}
			if long, err := k.Uncompressed(); err == nil {
				out.Uncompressed = hex.EncodeToString(long)
			}
			if x, err := k.XOnly(); err == nil {
				out.XOnly = hex.EncodeToString(x[:])
			}
			if k.Algorithm.Signs() {
				out.ChainCode = hex.EncodeToString(k.ChainCode[:])
			}
			w := c.OutOrStdout()
			if d.json {
				fmt.Fprint(w, toJSON(out))
				return nil
			}
			printRows(w, [][2]string{{"public key", out.PublicKey}, {"uncompressed", out.Uncompressed}, {"x only", out.XOnly}, {"chain code", out.ChainCode}})
			return nil
		}}
	d.flags(cmd)
	return cmd
}

// printRows prints those that have a value.
func printRows(w io.Writer, rows [][2]string) {
	for _, r := range rows {
		if r[1] != "" {
			fmt.Fprintf(w, "%-13s %s\n", r[0], r[1])
		}
	}
}

// addresses are those that a key has on other chains.
type addresses struct {
	Network   string `json:"bitcoin_network"`
	P2WPKH    string `json:"p2wpkh,omitempty"`
	P2PKH     string `json:"p2pkh,omitempty"`
	P2TR      string `json:"p2tr,omitempty"`
	Ethereum  string `json:"ethereum,omitempty"`
	PublicKey string `json:"public_key"`
}

func keyAddressCmd(o *options) *cobra.Command {
	d := &derivation{}
	var network, root string
	cmd := &cobra.Command{Use: "address", Short: "show the Bitcoin and Ethereum addresses of a canister's key", Args: cobra.NoArgs,
		Long: `Show the Bitcoin and Ethereum addresses of a canister's key, derived like fusion key derive does it. A key of ecdsa_secp256k1 has
P2WPKH, P2PKH and Ethereum addresses; one of bip340_secp256k1 is the internal key of a taproot address (P2TR), which commits to the
script tree of --merkle-root or to none: sign for it with aux = bip341 and the same root.`,
		RunE: func(c *cobra.Command, _ []string) error {
			net, err := parseBitcoinNetwork(network)
			if err != nil {
				return err
			}
			merkle, err := hex.DecodeString(root)
			if err != nil || len(merkle) != 0 && len(merkle) != 32 {
				return errors.New("--merkle-root is not 32 bytes in hexadecimal")
			}
			k, err := d.run(c.Context(), o)
			if err != nil {
				return err
			}
			if len(merkle) != 0 && k.Algorithm != chainkey.Bip340Secp256k1 {
				return errors.New("--merkle-root is for keys of bip340_secp256k1")
			}
			out, err := addressesOf(k, net, merkle)
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			if d.json {
				fmt.Fprint(w, toJSON(out))
				return nil
			}
			printRows(w, [][2]string{{"P2WPKH", out.P2WPKH}, {"P2PKH", out.P2PKH}, {"P2TR", out.P2TR}, {"Ethereum", out.Ethereum}})
			return nil
		}}
	d.flags(cmd)
	cmd.Flags().StringVar(&network, "bitcoin", "regtest", "Bitcoin network: mainnet, testnet4, signet or regtest")
	cmd.Flags().StringVar(&root, "merkle-root", "", "Merkle root of a taproot script tree, in hexadecimal")
	return cmd
}

func addressesOf(k keys.Key, network btc.Network, merkleRoot []byte) (out addresses, err error) {
	out.Network, out.PublicKey = network.String(), hex.EncodeToString(k.PublicKey)
	switch k.Algorithm {
	case chainkey.EcdsaSecp256k1:
		witness, err := btc.P2WPKHFromPubKey(network, k.PublicKey)
		if err != nil {
			return out, err
		}
		legacy, err := btc.P2PKHFromPubKey(network, k.PublicKey)
		if err != nil {
			return out, err
		}
		account, err := eth.AddressFromPubKey(k.PublicKey)
		if err != nil {
			return out, err
		}
		out.P2WPKH, out.P2PKH, out.Ethereum = witness.String(), legacy.String(), account.String()
	case chainkey.Bip340Secp256k1:
		internal, err := k.XOnly()
		if err != nil {
			return out, err
		}
		taproot, err := btc.P2TRFromInternalKey(network, internal, merkleRoot)
		if err != nil {
			return out, err
		}
		out.P2TR = taproot.String()
	default:
		return out, hint(fmt.Errorf("keys of %s have no Bitcoin or Ethereum address", k.Algorithm), "choose ecdsa_secp256k1 or bip340_secp256k1 with --algorithm")
	}
	return out, nil
}

func parseBitcoinNetwork(name string) (btc.Network, error) {
	for n := btc.Mainnet; n.Valid(); n++ {
		if n.String() == name {
			return n, nil
		}
	}
	return 0, fmt.Errorf("--bitcoin is %q, want mainnet, testnet4, signet or regtest", name)
}
