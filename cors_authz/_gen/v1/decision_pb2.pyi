from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DecisionRecord(_message.Message):
    __slots__ = ("kind", "time", "decision_id", "request_id", "trace_id", "span_id", "outcome", "reason", "status", "shadow", "origin", "origin_group", "method", "host", "path", "headers", "principal", "roles", "claims", "tenant", "version", "group", "rule", "guards", "justification", "injected", "revision", "latency_us", "masked", "erased", "share", "writer", "seq", "hash")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ClaimsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_GROUP_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    GUARDS_FIELD_NUMBER: _ClassVar[int]
    JUSTIFICATION_FIELD_NUMBER: _ClassVar[int]
    INJECTED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    LATENCY_US_FIELD_NUMBER: _ClassVar[int]
    MASKED_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    kind: str
    time: float
    decision_id: str
    request_id: str
    trace_id: str
    span_id: str
    outcome: str
    reason: str
    status: int
    shadow: bool
    origin: str
    origin_group: str
    method: str
    host: str
    path: str
    headers: _containers.ScalarMap[str, str]
    principal: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    claims: _containers.ScalarMap[str, str]
    tenant: str
    version: str
    group: str
    rule: str
    guards: _containers.RepeatedCompositeFieldContainer[GuardVerdict]
    justification: Justification
    injected: _containers.RepeatedScalarFieldContainer[str]
    revision: str
    latency_us: int
    masked: _containers.RepeatedScalarFieldContainer[str]
    erased: _containers.RepeatedScalarFieldContainer[str]
    share: float
    writer: str
    seq: int
    hash: str
    def __init__(self, kind: _Optional[str] = ..., time: _Optional[float] = ..., decision_id: _Optional[str] = ..., request_id: _Optional[str] = ..., trace_id: _Optional[str] = ..., span_id: _Optional[str] = ..., outcome: _Optional[str] = ..., reason: _Optional[str] = ..., status: _Optional[int] = ..., shadow: _Optional[bool] = ..., origin: _Optional[str] = ..., origin_group: _Optional[str] = ..., method: _Optional[str] = ..., host: _Optional[str] = ..., path: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., principal: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., claims: _Optional[_Mapping[str, str]] = ..., tenant: _Optional[str] = ..., version: _Optional[str] = ..., group: _Optional[str] = ..., rule: _Optional[str] = ..., guards: _Optional[_Iterable[_Union[GuardVerdict, _Mapping]]] = ..., justification: _Optional[_Union[Justification, _Mapping]] = ..., injected: _Optional[_Iterable[str]] = ..., revision: _Optional[str] = ..., latency_us: _Optional[int] = ..., masked: _Optional[_Iterable[str]] = ..., erased: _Optional[_Iterable[str]] = ..., share: _Optional[float] = ..., writer: _Optional[str] = ..., seq: _Optional[int] = ..., hash: _Optional[str] = ...) -> None: ...

class GuardVerdict(_message.Message):
    __slots__ = ("name", "verdict")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    name: str
    verdict: str
    def __init__(self, name: _Optional[str] = ..., verdict: _Optional[str] = ...) -> None: ...

class Justification(_message.Message):
    __slots__ = ("text", "at")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    text: str
    at: str
    def __init__(self, text: _Optional[str] = ..., at: _Optional[str] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("kind", "time", "decision_id", "request_id", "status", "flags", "details", "duration_us", "method", "host", "path", "origin", "group", "verdicts", "manners", "shadow", "decided", "delivered", "share", "writer", "seq", "hash")
    class MannersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    DURATION_US_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    MANNERS_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    DECIDED_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    kind: str
    time: float
    decision_id: str
    request_id: str
    status: int
    flags: str
    details: str
    duration_us: int
    method: str
    host: str
    path: str
    origin: str
    group: str
    verdicts: _containers.RepeatedScalarFieldContainer[str]
    manners: _containers.ScalarMap[str, str]
    shadow: bool
    decided: Decided
    delivered: Delivered
    share: float
    writer: str
    seq: int
    hash: str
    def __init__(self, kind: _Optional[str] = ..., time: _Optional[float] = ..., decision_id: _Optional[str] = ..., request_id: _Optional[str] = ..., status: _Optional[int] = ..., flags: _Optional[str] = ..., details: _Optional[str] = ..., duration_us: _Optional[int] = ..., method: _Optional[str] = ..., host: _Optional[str] = ..., path: _Optional[str] = ..., origin: _Optional[str] = ..., group: _Optional[str] = ..., verdicts: _Optional[_Iterable[str]] = ..., manners: _Optional[_Mapping[str, str]] = ..., shadow: _Optional[bool] = ..., decided: _Optional[_Union[Decided, _Mapping]] = ..., delivered: _Optional[_Union[Delivered, _Mapping]] = ..., share: _Optional[float] = ..., writer: _Optional[str] = ..., seq: _Optional[int] = ..., hash: _Optional[str] = ...) -> None: ...

class Decided(_message.Message):
    __slots__ = ("outcome", "reason", "rule", "revision", "allow_origin", "allow_credentials", "expose_headers", "vary")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ALLOW_ORIGIN_FIELD_NUMBER: _ClassVar[int]
    ALLOW_CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    EXPOSE_HEADERS_FIELD_NUMBER: _ClassVar[int]
    VARY_FIELD_NUMBER: _ClassVar[int]
    outcome: str
    reason: str
    rule: str
    revision: str
    allow_origin: str
    allow_credentials: str
    expose_headers: str
    vary: str
    def __init__(self, outcome: _Optional[str] = ..., reason: _Optional[str] = ..., rule: _Optional[str] = ..., revision: _Optional[str] = ..., allow_origin: _Optional[str] = ..., allow_credentials: _Optional[str] = ..., expose_headers: _Optional[str] = ..., vary: _Optional[str] = ...) -> None: ...

class Delivered(_message.Message):
    __slots__ = ("allow_origin", "allow_credentials", "expose_headers", "vary", "allow_methods", "allow_headers", "max_age", "allow_private_network")
    ALLOW_ORIGIN_FIELD_NUMBER: _ClassVar[int]
    ALLOW_CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    EXPOSE_HEADERS_FIELD_NUMBER: _ClassVar[int]
    VARY_FIELD_NUMBER: _ClassVar[int]
    ALLOW_METHODS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_HEADERS_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PRIVATE_NETWORK_FIELD_NUMBER: _ClassVar[int]
    allow_origin: str
    allow_credentials: str
    expose_headers: str
    vary: str
    allow_methods: str
    allow_headers: str
    max_age: str
    allow_private_network: str
    def __init__(self, allow_origin: _Optional[str] = ..., allow_credentials: _Optional[str] = ..., expose_headers: _Optional[str] = ..., vary: _Optional[str] = ..., allow_methods: _Optional[str] = ..., allow_headers: _Optional[str] = ..., max_age: _Optional[str] = ..., allow_private_network: _Optional[str] = ...) -> None: ...

class ChainHead(_message.Message):
    __slots__ = ("kind", "time", "records", "previous", "end", "key_id", "signature", "lost", "writer", "seq", "hash")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    kind: str
    time: float
    records: int
    previous: str
    end: bool
    key_id: str
    signature: str
    lost: int
    writer: str
    seq: int
    hash: str
    def __init__(self, kind: _Optional[str] = ..., time: _Optional[float] = ..., records: _Optional[int] = ..., previous: _Optional[str] = ..., end: _Optional[bool] = ..., key_id: _Optional[str] = ..., signature: _Optional[str] = ..., lost: _Optional[int] = ..., writer: _Optional[str] = ..., seq: _Optional[int] = ..., hash: _Optional[str] = ...) -> None: ...
