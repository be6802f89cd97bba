// Package runtime is where the host puts what it hands to the plugin.
//
// The component model forbids calling imports while the host is allocating (cabi_realloc), and Go's collector reads the clock, which is an
// import. So the collector never starts by itself: CollectIfDue runs it at the beginning of a call, where imports are allowed, whenever
// the heap has doubled, which is what Go does otherwise.
package runtime

import (
	"runtime"
	"runtime/debug"
	"unsafe"
)

// The heap never has less than this before it is collected, in bytes.
const least = 4 << 20

var (
	// What the host has put here for the call that begins.
	incoming runtime.Pinner
	started  bool
	due      uint64 = least
	// The adapter of WASI asks for memory before Go has started.
	early     [256 << 10]byte
	earlyUsed uintptr
)

func init() {
	debug.SetGCPercent(-1)
	started = true
}

// Allocate gives memory that stays in its place until the pinner lets it go.
func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	// Words of 8 bytes are aligned for everything that WIT has.
	pointer := unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	pinner.Pin(pointer)
	return pointer
}

// Unpin is called when a call's arguments were read. Their texts are still in use: they are Go values now.
func Unpin() { incoming.Unpin() }

// CollectIfDue collects garbage if there may be enough of it. Only where imports may be called.
func CollectIfDue() {
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	if heap.HeapAlloc < due {
		return
	}
	runtime.GC()
	runtime.ReadMemStats(&heap)
	due = max(2*heap.HeapAlloc, least)
}

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if old != nil || oldSize != 0 {
		panic("the host does not move what it has put here")
	}
	if started {
		return Allocate(&incoming, size, align)
	}
	base := uintptr(unsafe.Pointer(&early[0]))
	start := (base+earlyUsed+align-1)&^(align-1) - base
	if start+size > uintptr(len(early)) {
		panic("no memory before Go has started")
	}
	earlyUsed = start + size
	return unsafe.Pointer(&early[start])
}
