package wire

// Greeting is the first message of each part of the guest program.
type Greeting struct {
	// Stage is StageInit (before systemd, waits for a BootOrder) or StageServing (takes requests).
	Stage string
}

// The stages of a Greeting.
const (
	StageInit    = "init"
	StageServing = "serving"
)

// Key is what the key's contact does while the machine boots.
type Key string

// The key's contact at boot. GPIO17 is low when the contact is closed, which means "on".
const (
	KeyOff  Key = "off"  // contact open, the line pulled up
	KeyOn   Key = "on"   // contact closed, the line pulled down
	KeyOpen Key = "open" // nothing connected: the Pi's own default pull, which is down
)

// BootOrder says what to prepare before systemd starts.
type BootOrder struct {
	// Install names directories of the host that are copied over /, owned by root, in this order.
	Install []string
	// Key is the contact's position at boot.
	Key Key
	// Hostname of the machine.
	Hostname string
}

// Order opens a stream. Exactly one field is set.
type Order struct {
	Run   *RunOrder   `json:",omitempty"`
	Mount *MountOrder `json:",omitempty"`
	Write *WriteOrder `json:",omitempty"`
	Read  *ReadOrder  `json:",omitempty"`
	Await *AwaitOrder `json:",omitempty"`
}

// RunOrder starts a program.
type RunOrder struct {
	// Args is the program, an absolute path or a name to look for in the guest's PATH, and its arguments.
	Args []string
	// Env adds to a small default environment.
	Env []string `json:",omitempty"`
	// Dir is the working directory; "" means /.
	Dir string `json:",omitempty"`
	// User is a name in the guest's /etc/passwd; "" means root.
	User string `json:",omitempty"`
	// Terminal, when not nil, gives the program a terminal of that size as its stdin, stdout and stderr.
	Terminal *Size `json:",omitempty"`
}

// Size of a terminal, in characters.
type Size struct{ Rows, Columns uint16 }

// SignalOrder sends a signal to the process group of the stream's program.
type SignalOrder struct{ Signal int }

// MountOrder shares a directory of the host.
type MountOrder struct {
	Host, Guest string
	ReadOnly    bool
}

// WriteOrder writes what follows on Stdin to a file, without starting a process. It truncates, but does not
// replace, an existing file, so it works on sysfs.
type WriteOrder struct {
	Path string
	Mode uint32 // permission bits of a new file
}

// ReadOrder sends a file on Stdout.
type ReadOrder struct{ Path string }

// AwaitOrder waits until systemd has finished booting. Outcome.State is systemd's word for it ("running",
// "degraded", ...), Stdout names the failed units.
type AwaitOrder struct{}

// Outcome ends a stream.
type Outcome struct {
	// Err is why the order could not be carried out at all.
	Err string `json:",omitempty"`
	// Code is the program's exit code; 128 + n when signal n ended it.
	Code int
	// Signal that ended the program, else 0.
	Signal int `json:",omitempty"`
	// State answers an AwaitOrder.
	State string `json:",omitempty"`
}
