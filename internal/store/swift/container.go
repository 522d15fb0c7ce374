package swift

import (
	"context"
	"net/http"

	"github.com/cofferdb/coffer"
)

// substitute is the container that is used when another project owns the
// configured one.
func (o Options) substitute() string {
	if o.Project == "" {
		return o.Container
	}
	return o.Container + "_" + o.Project
}

// owner is to whom a container belongs, as our credentials see it.
type owner int

const (
	nobodys owner = iota
	ours
	others
)

// Where is the container that is used, made if it is missing and may be made.
// replaced tells that it is not the configured one, because that belongs to
// another project. The choice is the same in every process: the substitute as
// soon as it exists, else the configured container unless another has it.
func (s *Store) Where(ctx context.Context) (container string, replaced bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.container == "" {
		found, err := s.find(ctx)
		if err != nil {
			return "", false, err
		}
		s.container = found
	}
	return s.container, s.container != s.opts.Container, nil
}

func (s *Store) find(ctx context.Context) (string, error) {
	wanted, substitute := s.opts.Container, s.opts.substitute()
	if substitute != wanted {
		switch who, err := s.look(ctx, substitute); {
		case err != nil:
			return "", err
		case who == ours:
			return substitute, nil
		}
	}
	who, err := s.look(ctx, wanted)
	if err != nil || who == ours {
		return wanted, err
	}
	if who == nobodys {
		if who, err = s.make(ctx, wanted); err != nil || who == ours {
			return wanted, err
		}
	}
	if substitute == wanted {
		return "", coffer.E(coffer.KindForbidden, "use the container "+wanted, "the container belongs to another project, or the user has no right to it").
			WithHint("choose a container of your own, or give the user a role in the project that may use the object store")
	}
	if who, err = s.make(ctx, substitute); err == nil && who != ours {
		err = coffer.E(coffer.KindForbidden, "use the container "+substitute, "both %s and %s belong to other projects", wanted, substitute).
			WithHint("choose a container of your own, or give the user a role in the project that may use the object store")
	}
	return substitute, err
}

// look says whose the container is. On a radosgw with one name space for all, one
// of another project answers 403.
func (s *Store) look(ctx context.Context, container string) (owner, error) {
	_, err := s.simple(ctx, "look for the container "+container, call{method: http.MethodHead, at: place{container: container}})
	switch coffer.KindOf(err) {
	case "":
		return ours, nil
	case coffer.KindNotFound:
		return nobodys, nil
	case coffer.KindForbidden:
		return others, nil
	}
	return nobodys, err
}

// make makes the container, if the store may.
func (s *Store) make(ctx context.Context, container string) (owner, error) {
	op := "make the container " + container
	if !s.opts.Create {
		return nobodys, coffer.E(coffer.KindInvalid, op, "there is no such container").
			WithHint("make the container, or let the store make it")
	}
	_, err := s.simple(ctx, op, call{method: http.MethodPut, at: place{container: container}})
	switch coffer.KindOf(err) {
	case "":
		return ours, nil
	case coffer.KindConflict, coffer.KindForbidden:
		return others, nil
	}
	return nobodys, err
}
