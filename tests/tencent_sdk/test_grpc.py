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
