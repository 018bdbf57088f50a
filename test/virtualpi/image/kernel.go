package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// KernelFile is the name of the program in the kernel's entry.
const KernelFile = "linux"

// Kernel returns the kernel's entry, which it makes first if need be (minutes).
func (c *Cache) Kernel(ctx context.Context) (*Entry, error) {
	if runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("image: making the kernel: User-mode Linux runs on amd64 only, this machine is %s; run these tests on a PC", runtime.GOARCH)
	}
	k := KernelRecipe()
	return c.ensure(ctx, "kernel", k.Digest(), func(ctx context.Context, dir string) error {
		if err := c.InstallPackages(ctx, k.packages()); err != nil {
			return err
		}
		return c.makeKernel(ctx, k, dir)
	})
}

// packages are the Debian packages that the build needs.
func (k Kernel) packages() []string {
	return []string{k.Source, "build-essential", "bc", "bison", "flex", "xz-utils"}
}

func (c *Cache) makeKernel(ctx context.Context, k Kernel, dir string) error {
	src := filepath.Join(dir, "src")
	if err := os.Mkdir(src, 0o755); err != nil {
		return fmt.Errorf("image: making the kernel: %w", err)
	}
	unpack := exec.Command("/usr/bin/tar", "-xf", "/usr/src/"+k.Source+".tar.xz", "-C", src, "--strip-components=1")
	if err := c.step(ctx, "unpacking "+k.Source, unpack); err != nil {
		return err
	}
	for _, m := range k.Mend {
		there, err := m.apply(src)
		if err != nil {
			return err
		}
		if !there {
			c.say("the piece to mend is not in %s: mended by Debian? Then take it out of the recipe", m.File)
		}
	}
	target := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/usr/bin/make", append([]string{"ARCH=um"}, args...)...)
		cmd.Dir = src
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "KBUILD_BUILD_USER=virtualpi", "KBUILD_BUILD_HOST=virtualpi"}
		return cmd
	}
	if err := c.step(ctx, "configuring the kernel", target("x86_64_defconfig")); err != nil {
		return err
	}
	config := filepath.Join(src, ".config")
	b, err := os.ReadFile(config)
	if err != nil {
		return fmt.Errorf("image: configuring the kernel: %w", err)
	}
	if err := os.WriteFile(config, []byte(k.configure(string(b))), 0o644); err != nil {
		return fmt.Errorf("image: configuring the kernel: %w", err)
	}
	if err := c.step(ctx, "configuring the kernel", target("olddefconfig")); err != nil {
		return err
	}
	if b, err = os.ReadFile(config); err != nil {
		return fmt.Errorf("image: configuring the kernel: %w", err)
	}
	if lost := k.lost(string(b)); len(lost) > 0 {
		return fmt.Errorf("image: configuring the kernel: options %s did not stay on; they depend on options that the recipe lacks", strings.Join(lost, " "))
	}
	if err := c.step(ctx, "compiling the kernel", target(fmt.Sprint("-j", runtime.NumCPU()+1), "linux")); err != nil {
		return err
	}
	strip := exec.Command("/usr/bin/strip", "-o", filepath.Join(dir, KernelFile), filepath.Join(src, "linux"))
	if err := c.step(ctx, "stripping the kernel", strip); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "config"), b, 0o644); err != nil {
		return fmt.Errorf("image: making the kernel: %w", err)
	}
	return os.RemoveAll(src)
}

// apply mends the source in src, and says whether the piece was there, once. If it wasn't, nothing is changed: a kernel that
// Debian has mended needs no more.
func (m Mend) apply(src string) (there bool, err error) {
	path := filepath.Join(src, m.File)
	b, err := os.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("image: mending the kernel: %w", err)
	}
	if strings.Count(string(b), m.Old) != 1 {
		return false, nil
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(b), m.Old, m.New, 1)), 0o644); err != nil {
		return false, fmt.Errorf("image: mending the kernel: %w", err)
	}
	return true, nil
}

// configure applies the recipe to a .config.
func (k Kernel) configure(config string) string {
	var b strings.Builder
	for line := range strings.Lines(config) {
		name := strings.TrimPrefix(strings.TrimPrefix(line, "# "), "CONFIG_")
		if end := strings.IndexAny(name, "= "); end > 0 {
			name = name[:end]
		}
		if !slices.Contains(k.Enable, name) && !slices.Contains(k.Disable, name) {
			b.WriteString(line)
		}
	}
	for _, name := range k.Enable {
		fmt.Fprintf(&b, "CONFIG_%s=y\n", name)
	}
	for _, name := range k.Disable {
		fmt.Fprintf(&b, "# CONFIG_%s is not set\n", name)
	}
	return b.String()
}

// lost returns the options that the kernel's own rules turned off again.
func (k Kernel) lost(config string) []string {
	var lost []string
	for _, name := range k.Enable {
		if !strings.Contains("\n"+config, "\nCONFIG_"+name+"=y\n") {
			lost = append(lost, name)
		}
	}
	return lost
}
