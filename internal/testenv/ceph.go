package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// cephPrograms names what [StartRadosgw] runs.
var cephPrograms = [...]string{"monmaptool", "ceph-mon", "ceph", "ceph-osd", "radosgw", "radosgw-admin"}

// cluster is the smallest Ceph: one monitor and one storage daemon that keeps
// everything in memory, without authentication and without copies.
type cluster struct {
	farm
	conf string
}

// cephPorts is how many ports the storage daemon may choose from.
const cephPorts = 24

// startCluster lays a cluster out below dir and starts it.
func startCluster(dir string) (*cluster, error) {
	c := &cluster{farm: farm{dir: dir}, conf: filepath.Join(dir, "ceph.conf")}
	mon, err := loopbackPorts(2)
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"mon", "osd", "run", "log", "crash/posted"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	fsid := uuid()
	addrs := fmt.Sprintf("[v2:127.0.0.1:%d,v1:127.0.0.1:%d]", mon[0], mon[1])
	base := portRange(cephPorts)
	text := fmt.Sprintf(cephConf, fsid, addrs, base, base+cephPorts-1, dir)
	if err := os.WriteFile(c.conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	if err := c.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", addrs, filepath.Join(dir, "monmap")); err != nil {
		return nil, err
	}
	if err := c.run("ceph-mon", "-c", c.conf, "--mkfs", "-i", "a", "--monmap", filepath.Join(dir, "monmap")); err != nil {
		return nil, err
	}
	if err := c.daemons(); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *cluster) daemons() error {
	if err := c.start("mon", nil, "ceph-mon", "-c", c.conf, "-f", "-i", "a"); err != nil {
		return err
	}
	osd := uuid()
	if err := c.ceph("osd", "new", osd); err != nil {
		return err
	}
	if err := c.run("ceph-osd", "-c", c.conf, "-i", "0", "--mkfs", "--osd-uuid", osd); err != nil {
		return err
	}
	if err := c.start("osd", nil, "ceph-osd", "-c", c.conf, "-f", "-i", "0"); err != nil {
		return err
	}
	return c.await("osd", 30*time.Second, func(ctx context.Context) bool {
		path, err := Look("ceph")
		if err != nil {
			return false
		}
		out, err := exec.CommandContext(ctx, path, "-c", c.conf, "--connect-timeout", "10", "osd", "stat").Output()
		return err == nil && strings.Contains(string(out), "1 up")
	})
}

// ceph runs one command of the administrator's tool.
func (c *cluster) ceph(args ...string) error {
	return c.run("ceph", append([]string{"-c", c.conf, "--connect-timeout", "20"}, args...)...)
}

// cephConf wants: fsid, the monitor's addresses, first and last port, the folder.
// The modes are said because radosgw's own default ("secure") is impossible
// without authentication, and the short paxos times because every pool that
// radosgw makes waits for a round.
const cephConf = `[global]
fsid = %[1]s
mon host = %[2]s
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind port min = %[3]d
ms bind port max = %[4]d
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
run dir = %[5]s/run
admin socket =
pid file =
log file = %[5]s/log/$name.log
log to stderr = false
err to stderr = true
crash dir = %[5]s/crash
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 2000
paxos propose interval = 0.05
paxos min wait = 0.01
mon data avail crit = 1
mon data avail warn = 2

[mon]
mon data = %[5]s/mon
mon initial members = a
mon cluster log file = %[5]s/log/cluster.log
mon memory target = 268435456
rocksdb cache size = 16777216

[osd]
osd data = %[5]s/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd memory target = 939524096
osd op num shards = 2
osd op num threads per shard = 1
`
