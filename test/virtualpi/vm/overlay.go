package vm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// The header of a copy-on-write file of User-mode Linux, version 3 (struct cow_header_v3 in the kernel's
// arch/um/drivers/cow_user.c). All numbers are big-endian.
const (
	cowMagic      = 0x4f4f4f4d
	cowVersion    = 3
	cowSector     = 512
	cowAlignment  = 4096
	cowPathLength = 4096
	cowHeaderSize = 4 + 4 + 4 + 8 + 4 + 4 + 4 + cowPathLength
)

// newOverlay returns a new, empty copy-on-write file over base, in dir. The file has no name: it is gone when the last
// process that has it open is gone. It keeps a machine's disk through reboots and power cuts.
func newOverlay(dir, base string) (*os.File, error) {
	header, size, err := cowHeader(base)
	if err != nil {
		return nil, err
	}
	f, err := nameless(dir)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(header, 0)
	if err == nil {
		// Then a bitmap of the sectors that are here, and the sectors; both are sparse. The kernel wants the
		// bitmap to be there in full.
		_, data := cowLayout(size)
		err = f.Truncate(data)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("vm: making an overlay: %w", err), f.Close())
	}
	return f, nil
}

// cowHeader describes base, which must not change while an overlay of it is in use.
func cowHeader(base string) (header []byte, size int64, err error) {
	info, err := os.Stat(base)
	if err != nil {
		return nil, 0, fmt.Errorf("vm: making an overlay: %w", err)
	}
	if len(base) >= cowPathLength {
		return nil, 0, fmt.Errorf("vm: making an overlay: the path %q is too long", base)
	}
	h := make([]byte, 0, cowHeaderSize)
	h = binary.BigEndian.AppendUint32(h, cowMagic)
	h = binary.BigEndian.AppendUint32(h, cowVersion)
	h = binary.BigEndian.AppendUint32(h, uint32(info.ModTime().Unix()))
	h = binary.BigEndian.AppendUint64(h, uint64(info.Size()))
	h = binary.BigEndian.AppendUint32(h, cowSector)
	h = binary.BigEndian.AppendUint32(h, cowAlignment)
	h = binary.BigEndian.AppendUint32(h, 0) // the only format: a bitmap
	h = append(h, base...)
	return h[:cowHeaderSize], info.Size(), nil
}

// cowLayout says where the bitmap and the sectors begin for a base of that size.
func cowLayout(size int64) (bitmap, data int64) {
	bitmap = roundUp(cowHeaderSize, cowAlignment)
	return bitmap, roundUp(bitmap+(size/cowSector+7)/8, cowAlignment)
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }
