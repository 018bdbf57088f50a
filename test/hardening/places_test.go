//go:build sshds

package hardening

import (
	"fmt"
	"strings"
)

// ran is the file that a Match exec would make. Nobody may run it: no sshd knows the criterion, and the reader runs nothing.
const ran = "/run/exec-ran"

// places puts things where nobody expects them: links, directories and FIFOs in place of files, rubbish, and files that include one another
// in a long chain.
func (g *generator) places() {
	for g.one(5) {
		switch g.IntN(11) {
		case 0:
			g.tree.put("/etc/ssh/deep/real.inc", g.file(3, 1+g.IntN(4)))
			g.tree.putKind(dropIns+"40-link.conf", link, g.of("/etc/ssh/deep/real.inc", "../deep/real.inc"))
		case 1:
			g.tree.put("/etc/ssh/deep/d.conf", g.file(3, 1+g.IntN(4)))
			g.tree.putKind("/etc/ssh/linked", link, "deep")
			g.more = append(g.more, "linked/*.conf", "/etc/ssh/l*/d.conf")
		case 2:
			g.tree.putKind(dropIns+"41-gone.conf", link, "/etc/ssh/gone")
		case 3:
			g.tree.put("/etc/ssh/deep/two.inc", g.file(3, 1+g.IntN(4)))
			g.tree.putKind(dropIns+"42-two.conf", hard, "/etc/ssh/deep/two.inc")
		case 4:
			g.tree.putKind(dropIns+"43-dir.conf", directory, "")
		case 5:
			g.tree.putKind(dropIns+"44-fifo.conf", fifo, "")
		case 6:
			g.tree.put(dropIns+"45-nul.conf", g.file(3, 2)+g.of("\x00", "#\x00#\n", "PermitRootLogin\x00 yes\n"))
		case 7:
			g.tree.put(dropIns+"46-bytes.conf", g.of("\xff\xfeP\xef\xbb\xbf\n", "\xef\xbb\xbfPort 22\n", "Banner /etc/zo\xc3\xab\nAllowUsers zo\xc3\xab \xff\n", "\x7fELF\x02\x01\n"))
		case 8:
			g.tree.put(dropIns+g.of("47 space.conf", "47'quote.conf", "47*star.conf", "47\"x\".conf", "zoë.conf", "47#x.conf"), g.file(3, 1+g.IntN(4)))
		default:
			g.chain()
		}
	}
}

// chain is files that include each other, as deep as sshd goes or one further.
func (g *generator) chain() {
	length := 1 + g.IntN(18)
	for i := 1; i < length; i++ {
		var b strings.Builder
		if g.one(4) {
			b.WriteString(g.match() + "\n")
		}
		fmt.Fprintf(&b, "Include %schain/%02d.inc\n", g.of("", "/etc/ssh/"), i+1)
		if g.one(4) {
			b.WriteString(g.directive(true) + "\n")
		}
		g.tree.put(fmt.Sprintf("/etc/ssh/chain/%02d.inc", i), b.String())
	}
	g.tree.put(fmt.Sprintf("/etc/ssh/chain/%02d.inc", length), g.file(3, 1+g.IntN(4)))
	g.more = append(g.more, "chain/01.inc", "chain/01.*", "chain/01.inc")
}
