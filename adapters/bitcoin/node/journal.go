package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/mempool"
	"github.com/btcsuite/btcd/wire"
)

// journal is what happened since the database was last closed. btcd's keeps it in memory for minutes (database/ffldb, defaultFlushSecs), where the end of
// the process would take it along. It is a file of records, each a kind, a length in four bytes and so many bytes; it is not synced, since the death
// of a process loses nothing that it has written.
type journal struct {
	mu sync.Mutex
	f  *os.File
}

const journalFile = "journal.dat"

// Kinds of records.
const (
	blockConnected   = 'b' // a block
	blockInvalidated = 'i' // a hash
	blockRestored    = 'r' // a hash
	txAccepted       = 't' // a transaction
)

const (
	recordHeader = 5
	maxRecord    = wire.MaxBlockPayload
)

// openJournal returns the journal, at its end, and what is in it. A record that was not written whole ends it.
func openJournal(dir string) (*journal, []byte, error) {
	path := filepath.Join(dir, journalFile)
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	whole := len(raw) - len(records(raw, func(byte, []byte) {}))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	if err = f.Truncate(int64(whole)); err == nil {
		_, err = f.Seek(int64(whole), 0)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return &journal{f: f}, raw[:whole], nil
}

// records visits whole records and returns what is left.
func records(raw []byte, visit func(kind byte, body []byte)) []byte {
	for len(raw) >= recordHeader {
		n := binary.LittleEndian.Uint32(raw[1:])
		if n > maxRecord || int(n) > len(raw)-recordHeader {
			break
		}
		visit(raw[0], raw[recordHeader:recordHeader+n])
		raw = raw[recordHeader+n:]
	}
	return raw
}

// add writes a record.
func (j *journal) add(kind byte, body []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	b := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(body)))
	if _, err := j.f.Write(append(b, body...)); err != nil {
		return fmt.Errorf("bitcoin node: %s: %w", journalFile, err)
	}
	return nil
}

// remove ends the journal when the database is closed, and with it on disk.
func (j *journal) remove() error { return errors.Join(os.Remove(j.f.Name()), j.f.Close()) }

// replayBlocks brings the chain to where the journal leaves it. What the database has of it already changes nothing.
func (n *Node) replayBlocks(raw []byte) (err error) {
	records(raw, func(kind byte, body []byte) {
		if err != nil {
			return
		}
		switch kind {
		case blockConnected:
			b, bad := btcutil.NewBlockFromBytes(body)
			if bad != nil {
				err = bad
				return
			}
			if known, bad := n.chain.HaveBlock(b.Hash()); bad == nil && !known {
				_, _, err = n.chain.ProcessBlock(b, blockchain.BFNone)
			}
		case blockInvalidated, blockRestored:
			hash, bad := chainhash.NewHash(body)
			switch {
			case bad != nil:
				err = bad
			case kind == blockInvalidated:
				err = n.chain.InvalidateBlock(hash)
			default:
				err = n.chain.ReconsiderBlock(hash)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("bitcoin node: %s: %w", journalFile, err)
	}
	return nil
}

// replayPool puts the journal's transactions back into the memory pool. What a block has by now is refused, as it should be.
func (n *Node) replayPool(raw []byte) {
	records(raw, func(kind byte, body []byte) {
		var m wire.MsgTx
		if kind == txAccepted && m.Deserialize(bytes.NewReader(body)) == nil {
			_, _ = n.pool.ProcessTransaction(btcutil.NewTx(&m), true, false, 0)
		}
	})
}

// accepted notes transactions of the memory pool.
func (n *Node) accepted(txs []*mempool.TxDesc) (err error) {
	for _, d := range txs {
		err = errors.Join(err, n.journal.add(txAccepted, rawTx(d.Tx.MsgTx())))
	}
	return err
}
