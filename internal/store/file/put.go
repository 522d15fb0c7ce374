package file

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/store"
)

// putPrefix begins the hidden file of a Put.
const putPrefix = "put-"

// chunk is how much is written at a time, and between two looks at the context.
// Larger writes cost the kernel four times the CPU per byte here (ext4 makes large
// folios for them): docs/BENCHMARKS.md.
const chunk = 128 << 10

// Put writes one object, synced and published before it returns.
func (s *Store) Put(ctx context.Context, name string, b store.Body, _ store.Meta) (store.Object, error) {
	op := "write " + name
	if err := begin(ctx, op, name); err != nil {
		return store.Object{}, err
	}
	if err := s.free(op, name); err != nil {
		return store.Object{}, err
	}
	h, err := s.hide(ctx, op, b)
	if err != nil {
		return store.Object{}, err
	}
	defer h.drop()
	return s.publish(op, h, name)
}

// free is KindExists when name is taken already, before anything is written.
func (s *Store) free(op, name string) error {
	switch _, err := s.lstat(name); {
	case err == nil:
		return coffer.E(coffer.KindExists, op, "the name is taken")
	case absent(err):
		return nil
	default:
		return fail(op, err)
	}
}

// hide writes b into a file that nobody sees, synced: one without a name, which
// is gone with its writer, where the file system can do that.
func (s *Store) hide(ctx context.Context, op string, b store.Body) (h hidden, err error) {
	h = hidden{root: s.root}
	if h.f, err = s.unnamed(); err != nil {
		h.path = path.Join(Hidden, putPrefix+coffer.NewNonce())
		if h.f, err = s.create(h.path); err != nil {
			return h, fail(op, err)
		}
	}
	if err = errors.Join(copyAt(ctx, h.f, 0, b), h.f.Sync()); err != nil {
		h.drop()
		return h, fail(op, err)
	}
	return h, nil
}

// create makes a hidden file, and the hidden folder when that is missing.
func (s *Store) create(p string) (*os.File, error) {
	s.tidy.Do(s.sweep)
	const flag = os.O_RDWR | os.O_CREATE | os.O_EXCL
	f, err := s.share(s.root.OpenFile(p, flag, fileMode))
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := s.mkdir(Hidden); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := s.syncFolders(Hidden); err != nil {
		return nil, err
	}
	return s.share(s.root.OpenFile(p, flag, fileMode))
}

// copyAt writes b at off, its chunks as they are: no buffer stands between.
func copyAt(ctx context.Context, f *os.File, off int64, b store.Body) error {
	n, err := io.Copy(pieces{ctx, io.NewOffsetWriter(f, off)}, b.Reader())
	if err == nil && n < b.Size() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	return ctx.Err()
}

// pieces is a writer that looks at its context before each piece.
type pieces struct {
	ctx context.Context
	w   io.Writer
}

func (p pieces) Write(b []byte) (n int, err error) {
	for n < len(b) {
		if err := p.ctx.Err(); err != nil {
			return n, err
		}
		k, err := p.w.Write(b[n:min(n+chunk, len(b))])
		if n += k; err != nil {
			return n, err
		}
	}
	return n, nil
}

// publish gives the hidden, synced file its name, once and for good.
func (s *Store) publish(op string, h hidden, name string) (store.Object, error) {
	var err error
	for range 100 { // a delete next door may remove the folders just made
		if err = h.link(name); !errors.Is(err, fs.ErrNotExist) || h.gone() {
			break
		}
		if made := s.mkdirs(path.Dir(name)); made != nil && !errors.Is(made, fs.ErrNotExist) {
			err = made
			break
		}
	}
	if errors.Is(err, fs.ErrExist) || absent(err) {
		err = s.clash(err, h, name)
	}
	if err != nil {
		return store.Object{}, fail(op, err)
	}
	if err := s.syncFolders(path.Dir(name)); err != nil {
		return store.Object{}, coffer.E(coffer.KindUnknown, op, "published, but the folder could not be synced: %w", err)
	}
	fi, err := s.lstat(name)
	if err != nil {
		return store.Object{}, coffer.E(coffer.KindUnknown, op, "published, but not to be seen: %w", err)
	}
	return object(name, fi), nil
}

// clash tells a name that is taken from one that can never be: a path that has a
// folder where the object should be, or an object where a folder should be.
func (s *Store) clash(err error, h hidden, name string) error {
	if fi, e := s.root.Lstat(name); e == nil {
		if fi.Mode().IsRegular() {
			return err
		}
		return coffer.E(coffer.KindInvalid, "publish", "%q is a folder or a link here, it cannot be an object", name)
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if fi, e := s.root.Stat(dir); e == nil && !fi.IsDir() {
			return coffer.E(coffer.KindInvalid, "publish", "%q is an object here, it cannot be a folder", dir)
		}
	}
	if h.gone() {
		return coffer.E(coffer.KindNotFound, "publish", "the hidden file was removed")
	}
	return err
}

// mkdirs makes the folders of dir that are missing. It does not look whether
// what is there is a folder: the link that follows does.
func (s *Store) mkdirs(dir string) error {
	if dir == "." {
		return nil
	}
	for i := range len(dir) + 1 {
		if i < len(dir) && dir[i] != '/' {
			continue
		}
		if err := s.mkdir(dir[:i]); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// syncFolders makes the names in dir, and dir's own in the folders above it,
// outlive a loss of power. Folders that have not changed cost next to nothing.
func (s *Store) syncFolders(dir string) error {
	for ; ; dir = path.Dir(dir) {
		f, err := s.root.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		if dir == "." {
			return nil
		}
	}
}
