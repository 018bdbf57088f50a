package shellword

import (
	"os/exec"
	"testing"
)

func TestQuote(t *testing.T) {
	for _, word := range []string{"", "a", "/home/pi/.ssh/id_rsa", "id_x; rm -rf ~", "$(id)", "a b", "it's", "'", `\`, "\"`", "-n", "é", "a\nb", "~", "#"} {
		out, err := exec.Command("/bin/sh", "-c", "printf %s "+Quote(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q became %s, which is %q (%v)", word, Quote(word), out, err)
		}
	}
	if Quote("/etc/ssh") != "/etc/ssh" {
		t.Error("a plain word was quoted")
	}
}
