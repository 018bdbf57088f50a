// Package image makes what a virtual Pi boots from: a User-mode Linux kernel and a Debian root file system,
// both from Debian's own packages. It keeps them in a cache, each under a digest of its recipe, and makes
// nothing twice.
//
// It refuses to put anything of keyswitchd into an image: that is installed when a machine boots.
package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// builderVersion is part of every digest. Raise it when the way of building changes but no list below does.
const builderVersion = 1

// Kernel is the recipe of the kernel.
type Kernel struct {
	Source  string   // Debian package with the source, and the name of its archive in /usr/src
	Enable  []string // options without CONFIG_, set to y after ARCH=um's x86_64_defconfig
	Disable []string // options set to n, to build and boot faster
	Mend    []Mend   // mistakes in the source that the virtual Pi runs into
}

// Mend replaces a piece of one file of the kernel's source, if it is there exactly once.
type Mend struct{ File, Old, New string }

// Root is the recipe of a root file system.
type Root struct {
	Suite    string   // Debian release
	Packages []string // beside the essential ones
	SizeMiB  int      // of the file system; the file is sparse
	Machine  string   // content of /etc/machine-id: a fixed one, or else systemd takes each boot for the first
	Users    []User
}

// User is a normal user with a home and no password: it can log in with a key only.
type User struct {
	Name string
	UID  int
}

// Suites that can be built.
const (
	Bookworm = "bookworm"
	Trixie   = "trixie"
	Forky    = "forky"
)

// KernelRecipe returns what the virtual Pi's kernel is made of. The last three of Enable give User-mode Linux
// more than its 64 interrupts, which are all taken: without them each edge request on a GPIO line fails with ENXIO.
func KernelRecipe() Kernel {
	return Kernel{
		Source: "linux-source-6.12",
		Enable: strings.Fields(`
			GPIOLIB GPIO_CDEV GPIO_SIM CONFIGFS_FS NEW_LEDS LEDS_CLASS LEDS_USER LEDS_TRIGGERS
			CGROUPS CGROUP_PIDS CGROUP_BPF CGROUP_DEVICE CGROUP_FREEZER MEMCG BPF_SYSCALL SECCOMP SECCOMP_FILTER
			NAMESPACES USER_NS NET_NS PID_NS IPC_NS UTS_NS NET UNIX INET IPV6 DUMMY
			TMPFS TMPFS_POSIX_ACL TMPFS_XATTR DEVTMPFS DEVTMPFS_MOUNT AUTOFS_FS FHANDLE HOSTFS EXT4_FS
			EXT4_FS_POSIX_ACL OVERLAY_FS BLK_DEV_UBD BLK_DEV_LOOP
			EPOLL SIGNALFD TIMERFD EVENTFD INOTIFY_USER FANOTIFY HIGH_RES_TIMERS
			VIRTIO_UML UML_PCI_OVER_VIRTIO PCI_MSI`),
		Disable: strings.Fields(`
			MODULES DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT DEBUG_KERNEL FTRACE STACKTRACE IKCONFIG LOCALVERSION_AUTO
			USB_SUPPORT HID_SUPPORT INPUT SERIO SOUND HWMON WLAN WIRELESS ETHERNET UML_NET PPP SLIP TUN
			BLK_DEV_NBD ISO9660_FS REISERFS_FS NETWORK_FILESYSTEMS MISC_FILESYSTEMS QUOTA IOSCHED_BFQ MQ_IOSCHED_KYBER
			PTP_1588_CLOCK PPS CRYPTO_HW IOMMU_SUPPORT PCI_QUIRKS PCIEASPM VHOST_MENU BINFMT_MISC PM SUSPEND
			LEGACY_PTYS BSD_PROCESS_ACCT MCONSOLE XTERM_CHAN PORT_CHAN`),
		// A process that is killed while it forks leaves a marker (XA_ZERO_ENTRY) in the child's list of mappings, and
		// User-mode Linux takes that for a mapping: a panic at address 0x40e.
		Mend: []Mend{{
			File: "arch/um/kernel/tlb.c",
			Old:  "\tfor_each_vma(vmi, vma)\n\t\tum_tlb_mark_sync(",
			New:  "\tfor_each_vma(vmi, vma)\n\t\tif (!xa_is_zero(vma))\n\t\t\tum_tlb_mark_sync(",
		}},
	}
}

// RootRecipe returns what the root file system of a suite is made of.
func RootRecipe(suite string) (Root, error) {
	if suites := []string{Bookworm, Trixie, Forky}; !slices.Contains(suites, suite) {
		return Root{}, fmt.Errorf("image: making a root file system: unknown suite %q; choose one of %s", suite, strings.Join(suites, ", "))
	}
	return Root{
		Suite: suite,
		Packages: strings.Fields(`systemd systemd-sysv dbus polkitd libpam-systemd udev kmod
			openssh-server openssh-client iproute2 procps gpiod`),
		SizeMiB: 2048,
		Machine: "6b657973776974636864746573740001",
		Users:   []User{{Name: "pi", UID: 1000}},
	}, nil
}

// Digest names the kernel in the cache. The order of the options doesn't matter.
func (k Kernel) Digest() string {
	k.Enable, k.Disable = sorted(k.Enable), sorted(k.Disable)
	return digest("kernel", k)
}

// Digest names the root file system in the cache. The order of the packages doesn't matter.
func (r Root) Digest() string {
	r.Packages = sorted(r.Packages)
	return digest("root", r)
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func digest(kind string, recipe any) string {
	b, err := json.Marshal(recipe)
	if err != nil {
		panic(err) // a recipe holds only strings and numbers
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", builderVersion, kind, b))
	return hex.EncodeToString(sum[:8])
}
