package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/testenv"
)

// No secret is in an argument, an environment, a log, an answer, the records or the
// store: a password and an identity are in files of mode 0600 that are made for
// them, and nowhere else; also under a careless umask.
func TestSecretsStayInTheirFiles(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the program and runs servers")
	}
	testenv.Need(t, "mariadb-backup")
	w := newSafe(t)
	seen := watch(t)
	w.coffer("keys", "init")
	w.serve()
	w.coffer("instance", "register", "shop", "--socket", w.src.Socket, "--credentials", w.right)
	w.refused("instance", "register", "no", "--socket", w.src.Socket, "--credentials", w.wrong)
	w.coffer("backup", "create", "shop", "--wait")
	w.coffer("backup", "create", "shop", "--incremental", "--wait")
	id := w.newest()
	w.coffer("backup", "verify", id)
	w.coffer("-o", "json", "backup", "events", id)
	w.coffer("restore", id, "--name", "copy")
	w.coffer("backup", "create", "copy", "--wait")
	secrets := w.secrets()
	w.files(secrets)
	w.coffer("instance", "delete", "copy")
	w.stop()

	texts := seen()
	for _, program := range []string{"guard", "mariadb-backup", "mariadbd"} {
		if !bytes.Contains(texts, []byte(program)) {
			t.Errorf("the watch never saw %s", program)
		}
	}
	for _, s := range secrets {
		if bytes.Contains(texts, []byte(s.text)) {
			t.Errorf("an argument or an environment holds %s", s.name)
		}
		if bytes.Contains(w.said.Bytes(), []byte(s.text)) {
			t.Errorf("a command or the server's log tells %s", s.name)
		}
	}
}

// secret is a word that must not be found, but in the one file that is made for it.
type secret struct{ name, text, file string }

// safe is a state folder, its program and a database with passwords of its own.
type safe struct {
	t                            *testing.T
	program, state, right, wrong string
	src                          *testenv.Server
	said                         bytes.Buffer // all that commands and the server have printed
	words                        []secret
	server                       *exec.Cmd
}

func newSafe(t *testing.T) *safe {
	t.Helper()
	dir, err := os.MkdirTemp("", "cf") // sockets have short paths only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { // restored servers pass through
		t.Fatal(err)
	}
	w := &safe{
		t: t, program: filepath.Join(dir, "coffer"), state: filepath.Join(dir, "s"), src: testenv.MariaDB(t, testenv.MariaDBOptions{}),
		right: filepath.Join(dir, "right.cnf"), wrong: filepath.Join(dir, "wrong.cnf"),
	}
	if out, err := exec.Command("go", "build", "-o", w.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for name, file := range map[string]string{"the password": w.right, "the wrong password": w.wrong} {
		word := "word-" + coffer.NewNonce()
		w.words = append(w.words, secret{name, word, ""})
		if err := os.WriteFile(file, []byte("[client]\nuser=careful\npassword="+word+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if file == w.right {
			w.src.Exec(t, "CREATE USER careful@localhost IDENTIFIED BY '"+word+"'",
				"GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, SUPER ON *.* TO careful@localhost")
		}
	}
	return w
}

// command runs under a umask that hides nothing.
func (w *safe) command(args ...string) *exec.Cmd {
	c := exec.Command("sh", append([]string{"-c", `umask 000; exec "$0" "$@"`, w.program, "--debug", "--state", w.state}, args...)...)
	c.Stdout, c.Stderr = &w.said, &w.said
	return c
}

func (w *safe) coffer(args ...string) {
	w.t.Helper()
	if err := w.command(args...).Run(); err != nil {
		w.t.Fatalf("coffer %v: %v\n%s", args, err, w.said.String())
	}
}

func (w *safe) refused(args ...string) {
	w.t.Helper()
	if err := w.command(args...).Run(); err == nil {
		w.t.Fatalf("coffer %v was not refused", args)
	}
}

func (w *safe) newest() string {
	w.t.Helper()
	c := w.command("-o", "json", "backup", "list")
	c.Stdout = nil
	out, err := c.Output()
	var list []struct{ ID string }
	if err == nil {
		err = json.Unmarshal(out, &list)
	}
	if err != nil || len(list) == 0 {
		w.t.Fatalf("list: %v\n%s", err, out)
	}
	return list[0].ID
}

func (w *safe) serve() {
	w.t.Helper()
	log, err := os.Create(filepath.Join(filepath.Dir(w.state), "log"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	w.server = w.command("server", "--listen", "127.0.0.1:0")
	w.server.Stdout, w.server.Stderr = log, log
	if err := w.server.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if w.server.ProcessState == nil {
			w.server.Process.Kill()
			w.server.Wait()
		}
	})
	poll(func() bool { return exists(filepath.Join(w.state, "endpoint")) }, func() { w.t.Fatal("the server does not come up") })
}

// stop ends the server when it has removed the restored one, and reads its log.
func (w *safe) stop() {
	w.t.Helper()
	poll(func() bool {
		left, err := filepath.Glob(filepath.Join(w.state, "hosted", "*-*"))
		return err == nil && len(left) == 0
	}, func() { w.t.Error("the deleted instance's server stays") })
	if err := w.server.Process.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	if err := w.server.Wait(); err != nil {
		w.t.Errorf("the server's end: %v", err)
	}
	log, err := os.ReadFile(filepath.Join(filepath.Dir(w.state), "log"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.said.Write(log)
}

// secrets are the two passwords, and what Coffer has made itself.
func (w *safe) secrets() []secret {
	w.t.Helper()
	all := w.words
	add := func(name, file, after string) {
		b, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		_, rest, ok := strings.Cut(string(b), after)
		word := strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune("\"' =:\n", r) })
		if !ok || len(word) == 0 || len(word[0]) < 16 {
			w.t.Fatalf("no secret in %s", file)
		}
		all = append(all, secret{name, word[0], file})
	}
	add("the identity", filepath.Join(w.state, "keys", "identity.txt"), "AGE-SECRET-KEY-")
	add("the token", filepath.Join(w.state, "token"), `"token"`)
	hosted, err := filepath.Glob(filepath.Join(w.state, "hosted", "*", "credentials.cnf"))
	if err != nil || len(hosted) != 1 {
		w.t.Fatalf("credentials of restored servers: %v, %v", hosted, err)
	}
	add("the restored server's password", hosted[0], "password")
	return all
}

// files looks into every file of the state folder, and at who may read it.
func (w *safe) files(secrets []secret) {
	w.t.Helper()
	open := map[string]bool{w.state: true, filepath.Join(w.state, "hosted"): true} // others may pass through
	err := filepath.WalkDir(w.state, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		slot := strings.HasPrefix(path, filepath.Join(w.state, "hosted")+"/")
		switch loose := fi.Mode().Perm() & 0o077; {
		case open[path] && loose&^0o011 != 0, !slot && !open[path] && loose != 0, slot && loose&0o022 != 0 && filepath.Base(filepath.Dir(filepath.Dir(path))) == "hosted":
			w.t.Errorf("%s has mode %v", path, fi.Mode())
		}
		if d.Name() == "data" && slot {
			if fi.Mode().Perm() != 0o700 {
				w.t.Errorf("%s has mode %v", path, fi.Mode())
			}
			return fs.SkipDir // the restored database itself
		}
		if !fi.Mode().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, s := range secrets {
			if path != s.file && bytes.Contains(b, []byte(s.text)) {
				w.t.Errorf("%s holds %s", path, s.name)
			}
			if path == s.file && fi.Mode().Perm() != 0o600 {
				w.t.Errorf("%s has mode %v", path, fi.Mode())
			}
		}
		return nil
	})
	if err != nil {
		w.t.Error(err)
	}
}

// watch notes the arguments and environments of this process's descendants until
// the function that it gives is called.
func watch(t *testing.T) func() []byte {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	noted := map[string]bool{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for pid := range descendants(os.Getpid()) {
				for _, name := range []string{"cmdline", "environ"} {
					if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name)); err == nil {
						noted[string(b)] = true
					}
				}
			}
			<-time.After(3 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { stop(); <-done })
	return func() []byte {
		stop()
		<-done
		var all bytes.Buffer
		for text := range noted {
			all.WriteString(text + "\n")
		}
		return all.Bytes()
	}
}

// descendants are the processes below root.
func descendants(root int) map[int]bool {
	parent := map[int]int{}
	list, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range list {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ") // a name may hold anything, but ours hold no bracket
		if f := strings.Fields(rest); len(f) > 1 {
			parent[pid], _ = strconv.Atoi(f[1])
		}
	}
	below := map[int]bool{}
	for pid := range parent {
		for p, hops := pid, 0; p > 1 && hops < 64; p, hops = parent[p], hops+1 {
			if parent[p] == root {
				below[pid] = true
				break
			}
		}
	}
	return below
}
