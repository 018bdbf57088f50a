package override

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Caller is who asks. The bus and logind have said so, not the caller.
type Caller struct {
	Name string // unique name on the bus, such as ":1.42"
	UID  uint32
	PID  uint32 // never 0
	User string // name of UID, or the number

	// What logind says of the session that the process is in, org.freedesktop.login1(5). Session "" is none.
	Session     string
	SessionUID  uint32
	SessionUser string
	Remote      bool
	RemoteHost  string
	State       string // "active": it is in the foreground, or has no seat and so no background
	Class       string
	Service     string // the PAM service that began it
	Seat        string
	TTY         string // "tty1", "ttyAMA0", "pts/3", or "" in many graphical sessions
}

// By is the person, and root too if that is who asks.
func (c Caller) By() string {
	if c.UID == 0 && c.Session != "" && c.SessionUID != 0 {
		return "root, in the session of " + c.SessionUser
	}
	return c.User
}

// classes of sessions that a person has; "user-early" is root's since systemd 256. run0 and cron have others.
var classes = []string{"user", "user-early"}

// services are those that begin a session at a screen or on a line, before anybody is logged in there: getty's and the display
// managers'. su, sudo and run0 begin sessions, too, if they are used outside of one, and the seat of such a session is what the
// user's environment says (XDG_SEAT, pam_systemd(8)): logind takes it for local, wherever the user is.
var services = []string{
	"login",
	"lightdm", "lightdm-autologin",
	"gdm-password", "gdm-autologin", "gdm-fingerprint", "gdm-smartcard",
	"sddm", "sddm-autologin",
	"greetd", "lxdm", "ly", "xdm",
}

// lines are the kernel's names of serial lines, without the number: UARTs, a USB gadget, adapters, a virtual machine's console.
// A session there has no seat. A pseudo-terminal (pts/N) has none either, and can be anywhere.
var lines = []string{"ttyS", "ttyAMA", "ttyGS", "ttyUSB", "ttyACM", "hvc"}

// OnSite returns nil if c is a person at the machine, or else why not. It decides by c alone.
func OnSite(c Caller) *Refusal {
	no := func(reason, format string, args ...any) *Refusal {
		return &Refusal{Name: NotOnSite, Reason: reason, Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case c.Session == "":
		return no("no-session", "the request comes from no login session at this machine")
	case c.Remote || c.RemoteHost != "":
		return no("remote", "session %s comes from %s", c.Session, cmp.Or(c.RemoteHost, "elsewhere"))
	case !slices.Contains(classes, c.Class):
		return no("class", "session %s is of class %q, not a person's", c.Session, c.Class)
	case !slices.Contains(services, c.Service):
		return no("service", "session %s was begun by %q, not by a login at a screen or on a serial line", c.Session, c.Service)
	case c.Seat == "" && !isLine(c.TTY), strings.HasPrefix(c.TTY, "pts/"):
		return no("terminal", "session %s is on the terminal %q, which can be anywhere", c.Session, c.TTY)
	case c.State != "active":
		return no("inactive", "session %s is not in the foreground (%s)", c.Session, c.State)
	case c.UID != 0 && c.UID != c.SessionUID:
		return no("other-user", "session %s is that of %s, and %s asks; log in as %s, or use sudo", c.Session, c.SessionUser, c.User, c.User)
	}
	return nil
}

func isLine(tty string) bool {
	for _, l := range lines {
		if n, ok := strings.CutPrefix(tty, l); ok && n != "" && strings.Trim(n, "0123456789") == "" {
			return true
		}
	}
	return false
}
