package keystore_test

import (
	"fmt"
	"os"
	"path/filepath"

	"fusion/chainkey"
	"fusion/chainkey/keystore"
)

func Example() {
	dir, err := os.MkdirTemp("", "keystore")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := keystore.Open(keystore.Options{Dir: filepath.Join(dir, "keys"), AllowPlain: true}) // class local
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	g := keystore.Generation{Key: "dfx_test_key"}
	fmt.Println(store.PutShare(g, "gg18", chainkey.Secret("bytes of a share")))
	scheme, share, err := store.Share(g)
	fmt.Println(scheme, share, err)
	// Output:
	// <nil>
	// gg18 [secret] <nil>
}
