package gpio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// getLineInfo is GPIO_V2_GET_LINEINFO_IOCTL of linux/gpio.h: _IOWR(0xB4, 0x05, struct gpio_v2_line_info). The struct has the
// same layout on 32 and 64 bits.
const getLineInfo = 0xc100b405

// lineInfo is struct gpio_v2_line_info as bytes: 32 of name, 32 of consumer, the offset, the number of attributes, the flags,
// then what nobody here needs.
type lineInfo [256]byte

// lineUsed is GPIO_V2_LINE_FLAG_USED.
const lineUsed = 1

// holder asks the kernel who holds the line now. periph asks only once, when it finds the chip. held is false when nobody
// does, or when the kernel doesn't tell; a consumer may have no name.
func holder(chipPath string, offset int) (consumer string, held bool) {
	f, err := os.OpenFile(chipPath, os.O_RDONLY, 0)
	if err != nil {
		return "", false
	}
	defer func() { _ = f.Close() }() // nothing was written
	var info lineInfo
	binary.NativeEndian.PutUint32(info[64:], uint32(offset))
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), getLineInfo, uintptr(unsafe.Pointer(&info))); errno != 0 {
		return "", false
	}
	name, _, _ := bytes.Cut(info[32:64], []byte{0})
	return string(name), binary.NativeEndian.Uint64(info[72:])&lineUsed != 0
}

// busyError explains that consumer holds the line. self is what this process is called as a consumer.
func busyError(line, chipName, consumer, self string) error {
	switch consumer {
	case self:
		return fmt.Errorf("gpio: requesting %s on %s: %w: this process holds it already; key, second and led must be different lines",
			line, chipName, syscall.EBUSY)
	case "":
		return fmt.Errorf("gpio: requesting %s on %s: %w: someone who gave no name holds it (gpioinfo lists it); free it, or use another line",
			line, chipName, syscall.EBUSY)
	default:
		return fmt.Errorf("gpio: requesting %s on %s: %w: %q holds it; stop that program or overlay (gpioinfo lists all), or use another line",
			line, chipName, syscall.EBUSY, consumer)
	}
}
