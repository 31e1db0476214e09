"""A gRPC client finds the services by reflection only, and calls them."""

import json

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "rotunda.v1.MixService"
ROOMS = "rotunda.v1.RoomService"
ACTIONS = "rotunda.v1.ActionService"


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as open_channel:
        yield open_channel


def caller(channel, method, service=SERVICE):
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    described = pool.FindServiceByName(service).FindMethodByName(method)
    request, reply = GetMessageClass(described.input_type), GetMessageClass(described.output_type)
    call = channel.unary_unary(
        f"/{service}/{method}", request_serializer=request.SerializeToString, response_deserializer=reply.FromString
    )
    return request, call


def test_reflection_lists_the_service(channel):
    services = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert SERVICE in services and ROOMS in services and ACTIONS in services


def test_every_action_is_called_by_its_name(server, channel):
    request, call = caller(channel, "Call", ACTIONS)
    metadata = [("authorization", f"Bearer {server.secret_id}:{server.api_secret}")]
    answer = call(request(action="ListMembers", parameters_json=json.dumps({"Room": "1001"})), metadata=metadata)
    assert answer.request_id
    assert [member["UserId"] for member in json.loads(answer.answer_json)["Members"]] == ["ann"]
    for action, parameters, status, code in (
        ("Nothing", "", grpc.StatusCode.NOT_FOUND, "InvalidAction"),
        ("SearchMedia", "[]", grpc.StatusCode.INVALID_ARGUMENT, "InvalidRequest"),
        ("SearchMedia", '{"Limit": "x"}', grpc.StatusCode.INVALID_ARGUMENT, "InvalidParameterValue.Limit"),
        ("DescribeTrtcUsage", "", grpc.StatusCode.UNIMPLEMENTED, "UnsupportedOperation"),
    ):
        with pytest.raises(grpc.RpcError) as raised:
            call(request(action=action, parameters_json=parameters), metadata=metadata)
        assert (raised.value.code(), raised.value.details().split(":")[0]) == (status, code)
    with pytest.raises(grpc.RpcError) as raised:
        call(request(action="ListRooms"))
    assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_a_room_is_dismissed(server, channel):
    member = server.join(3001, "gus")
    request, call = caller(channel, "RemoveUser", ROOMS)
    metadata = [("authorization", f"Bearer {server.secret_id}:{server.api_secret}")]
    assert call(request(sdk_app_id=server.app, room_id=3001, user_ids=["nobody"]), metadata=metadata).request_id
    assert member.poll() is None
    request, call = caller(channel, "DismissRoom", ROOMS)
    assert call(request(sdk_app_id=server.app, room_id=3001), metadata=metadata).request_id
    assert member.wait(20) != 0


def test_stopping_no_mix_says_so_with_the_code_of_the_other_faces(server, channel):
    request, call = caller(channel, "StopMCUMixTranscode")
    metadata = [("authorization", f"Bearer {server.secret_id}:{server.api_secret}")]
    with pytest.raises(grpc.RpcError) as raised:
        call(request(sdk_app_id=server.app, room_id=1001), metadata=metadata)
    assert raised.value.details().startswith("FailedOperation.MixSessionNotExist")


def test_without_a_key_nothing_is_done(server, channel):
    request, call = caller(channel, "StopMCUMixTranscode")
    with pytest.raises(grpc.RpcError) as raised:
        call(request(sdk_app_id=server.app, room_id=1001))
    assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED


TYPED = "rotunda.actions.v1.Actions"


def test_every_action_has_a_method_with_messages_of_its_fields(server, channel):
    """Each is called with an empty request: it answers, or says what is missing; none is unknown or fails."""
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    methods = pool.FindServiceByName(TYPED).methods
    assert len(methods) > 40
    metadata = [("authorization", f"Bearer {server.secret_id}:{server.api_secret}")]
    for method in methods:
        assert "request_id" in method.output_type.fields_by_name, method.name
        if method.name in ("CreateApplication", "CreateApiKey", "RotateApplicationSecret"):
            # They change something without any field.
            continue
        request, call = caller(channel, method.name, TYPED)
        try:
            assert call(request(), metadata=metadata).request_id
        except grpc.RpcError as error:
            assert error.code() not in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL), (
                method.name, error.details())


def test_fields_of_messages_are_those_of_the_action(server, channel):
    metadata = [("authorization", f"Bearer {server.secret_id}:{server.api_secret}")]
    request, call = caller(channel, "ListMembers", TYPED)
    members = call(request(room="1001"), metadata=metadata).members
    assert [member.user_id for member in members] == ["ann"]
    request, call = caller(channel, "StartMCUMixTranscode", TYPED)
    start = request(sdk_app_id=server.app, room_id=1001)
    start.output_params.stream_id = "typed-1001"
    start.encode_params.audio_sample_rate = 48000
    start.encode_params.audio_bitrate = 64
    start.encode_params.audio_channels = 2
    start.output_params.pure_audio_stream = 1
    start.layout_params.template = 0
    assert call(start, metadata=metadata).request_id
    request, call = caller(channel, "ListMixes", TYPED)
    mixes = {mix.stream_id: mix for mix in call(request(), metadata=metadata).mixes}
    assert mixes["typed-1001"].width == 0
    request, call = caller(channel, "StopMCUMixTranscode", TYPED)
    assert call(request(sdk_app_id=server.app, room_id=1001), metadata=metadata).request_id
    with pytest.raises(grpc.RpcError) as raised:
        call(request(sdk_app_id=0, room_id=1001), metadata=metadata)
    assert raised.value.details().startswith("InvalidParameter.SdkAppId"), "a 0 that is there is no absent number"
