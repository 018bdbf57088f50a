package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Packages returns all Debian packages that making images needs on this machine.
func Packages() []string {
	return slices.Concat(KernelRecipe().packages(), rootPackages())
}

// InstallPackages installs the packages that are missing. It needs root only if there are any.
func (c *Cache) InstallPackages(ctx context.Context, packages []string) error {
	missing, err := missingPackages(ctx, packages)
	if err != nil || len(missing) == 0 {
		return err
	}
	unlock, err := c.lock(ctx, "packages") // apt-get update doesn't wait for another
	if err != nil {
		return err
	}
	defer unlock()
	if os.Geteuid() != 0 {
		return fmt.Errorf("image: checking this machine: Debian packages are missing; run as root: apt-get install %s", strings.Join(missing, " "))
	}
	apt := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/usr/bin/apt-get", append([]string{"-q", "-y", "-o", "DPkg::Lock::Timeout=300"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C") // proxies come from the environment
		return cmd
	}
	if err := c.stepHere(ctx, "asking for the lists of packages", apt("update")); err != nil {
		return err
	}
	install := append([]string{"install", "--no-install-recommends"}, missing...)
	return c.stepHere(ctx, "installing "+strings.Join(missing, " "), apt(install...))
}

// missingPackages asks dpkg, without root.
func missingPackages(ctx context.Context, packages []string) ([]string, error) {
	query := exec.CommandContext(ctx, "/usr/bin/dpkg-query", append([]string{"-W", "-f=${db:Status-Abbrev} ${Package}\n"}, packages...)...)
	query.Env = []string{"LC_ALL=C"}
	out, err := query.Output() // exits 1 when it doesn't know one of them
	if _, asked := err.(*exec.ExitError); err != nil && !asked {
		return nil, fmt.Errorf("image: checking this machine: %w; the virtual Pi is built from Debian packages, on Debian", err)
	}
	return lacking(packages, string(out)), nil
}

// lacking compares with dpkg-query's list of "ii  name".
func lacking(packages []string, list string) []string {
	have := map[string]bool{}
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) == 2 && strings.HasPrefix(f[0], "ii") {
			have[f[1]] = true
		}
	}
	var missing []string
	for _, p := range packages {
		if !have[p] {
			missing = append(missing, p)
		}
	}
	return missing
}
