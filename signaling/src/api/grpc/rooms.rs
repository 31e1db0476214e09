//! `RoomService`.

use rotunda_proto::grpc::v1;
use rotunda_proto::grpc::v1::room_service_server::RoomService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Face, known, status};
use crate::api::mix::request::RoomField;
use crate::api::rooms::{self, RemoveRequest, RoomRequest};

#[tonic::async_trait]
impl RoomService for Face {
    async fn remove_user(
        &self,
        request: Request<v1::RemoveUserRequest>,
    ) -> Result<Response<v1::RemoveUserResponse>, Status> {
        let caller = self.caller(&request)?;
        let removed = rooms::remove_users(&self.shared, caller, request.into_inner().into()).await;
        removed.map_err(status)?;
        let request_id = Uuid::new_v4().to_string();
        Ok(Response::new(v1::RemoveUserResponse { request_id }))
    }

    async fn dismiss_room(
        &self,
        request: Request<v1::DismissRoomRequest>,
    ) -> Result<Response<v1::DismissRoomResponse>, Status> {
        let caller = self.caller(&request)?;
        let dismissed = rooms::dismiss(&self.shared, caller, request.into_inner().into()).await;
        dismissed.map_err(status)?;
        let request_id = Uuid::new_v4().to_string();
        Ok(Response::new(v1::DismissRoomResponse { request_id }))
    }
}

impl From<v1::RemoveUserRequest> for RemoveRequest {
    fn from(request: v1::RemoveUserRequest) -> Self {
        use v1::remove_user_request::Room;
        let room = match request.room {
            Some(Room::StrRoomId(name)) => RoomField::Name(Some(name)),
            Some(Room::RoomId(number)) => RoomField::Number(Some(number)),
            None => RoomField::Number(None),
        };
        let sdk_app_id = known(request.sdk_app_id);
        Self {
            room: RoomRequest { sdk_app_id, room },
            users: request.user_ids,
        }
    }
}

impl From<v1::DismissRoomRequest> for RoomRequest {
    fn from(request: v1::DismissRoomRequest) -> Self {
        use v1::dismiss_room_request::Room;
        let room = match request.room {
            Some(Room::StrRoomId(name)) => RoomField::Name(Some(name)),
            Some(Room::RoomId(number)) => RoomField::Number(Some(number)),
            None => RoomField::Number(None),
        };
        let sdk_app_id = known(request.sdk_app_id);
        Self { sdk_app_id, room }
    }
}
