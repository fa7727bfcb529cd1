package main

import "google.golang.org/protobuf/encoding/protowire"

// allows says whether Envoy lets a request pass on this CheckResponse: a status that is absent counts as OK, and of
// messages that were joined the last code holds. What cannot be read refuses, as Envoy does.
func allows(response []byte) bool {
	code, whole := uint64(0), true
	fields(response, &whole, func(number protowire.Number, value []byte, _ uint64) {
		if number == 1 {
			fields(value, &whole, func(number protowire.Number, _ []byte, varint uint64) {
				if number == 1 {
					code = varint
				}
			})
		}
	})
	return whole && code == 0
}

func fields(raw []byte, whole *bool, visit func(protowire.Number, []byte, uint64)) {
	for len(raw) > 0 {
		number, kind, size := protowire.ConsumeTag(raw)
		if size < 0 {
			*whole = false
			return
		}
		raw = raw[size:]
		var value []byte
		var varint uint64
		switch kind {
		case protowire.BytesType:
			value, size = protowire.ConsumeBytes(raw)
		case protowire.VarintType:
			varint, size = protowire.ConsumeVarint(raw)
		default:
			size = protowire.ConsumeFieldValue(number, kind, raw)
		}
		if size < 0 {
			*whole = false
			return
		}
		visit(number, value, varint)
		raw = raw[size:]
	}
}
