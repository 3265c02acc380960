/** data/stream.h: the one way from a reader to examples, all at once or chunk by chunk. What a stream is for its users
 * stands in engram/dataset.h. */
#ifndef EGI_STREAM_H
#define EGI_STREAM_H

#include "data/reader.h"

/** Opens a part of `s`, or both one after the other, by the reader that knows it. `s` may go when it returns. Owner:
 * caller, eg_stream_free(). Errors: DATA, IO, NOMEM. */
EG_MUST_USE eg_status egi_stream_begin(eg_stream **out, const egi_source *s, const egi_reader *reader, eg_part part);

/** All examples of a stream that has given none yet, as a set of its own; the stream can then only be freed. Owner:
 * caller, eg_dataset_free(). Errors: DATA, IO, NOMEM. */
EG_MUST_USE eg_status egi_stream_take(eg_dataset **out, eg_stream *stream);

#endif
