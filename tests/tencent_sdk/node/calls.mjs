// Calls the server with the official Node.js SDK, in every way of signing, and prints what it answered as JSON.
import common from "tencentcloud-sdk-nodejs-common";
import vod from "tencentcloud-sdk-nodejs-vod";

const { ROTUNDA_ENDPOINT, ROTUNDA_PROTOCOL = "http://", ROTUNDA_APP, ROTUNDA_ID, ROTUNDA_SECRET } = process.env;
const app = Number(ROTUNDA_APP);
const now = Math.floor(Date.now() / 1000);
const span = { StartTime: now - 3600, EndTime: now + 60 };
const today = new Date().toISOString().slice(0, 10);

const client = (Client, signMethod, reqMethod, ...first) => new Client(...first, {
  credential: { secretId: ROTUNDA_ID, secretKey: ROTUNDA_SECRET },
  region: "ap-guangzhou",
  profile: { signMethod, httpProfile: { reqMethod, protocol: ROTUNDA_PROTOCOL, endpoint: ROTUNDA_ENDPOINT, reqTimeout: 60 } },
});

const code = async call => {
  try { await call; return "OK"; } catch (error) { return error.code; }
};

const results = [];
for (const [signMethod, reqMethod] of [
  ["TC3-HMAC-SHA256", "POST"], ["TC3-HMAC-SHA256", "GET"], ["HmacSHA1", "POST"], ["HmacSHA1", "GET"], ["HmacSHA256", "POST"], ["HmacSHA256", "GET"],
]) {
  const trtc = client(common.CommonClient, signMethod, reqMethod, ROTUNDA_ENDPOINT, "2019-07-22");
  const files = client(vod.vod.v20180717.Client, signMethod, reqMethod);
  const call = (action, fields) => trtc.request(action, { SdkAppId: app, ...fields });
  const rooms = await call("DescribeRoomInfo", { ...span, RoomId: "1001" });
  const { CommId } = rooms.RoomList[0];
  const users = await call("DescribeUserInfo", { ...span, CommId, UserIds: ["ann", "nobody"] });
  const detail = await call("DescribeCallDetailInfo", { ...span, CommId, DataType: ["all"] });
  const recorded = await call("DescribeRecordStatistic", { StartTime: today, EndTime: today });
  const mixed = await call("DescribeTrtcMcuTranscodeTime", { StartTime: today, EndTime: today });
  const scale = await call("DescribeScaleInfo", { StartTime: now - 2 * 86400, EndTime: now });
  const found = await files.SearchMedia({ Text: "nothing-of-this-name", Sort: { Field: "CreateTime", Order: "Desc" } });
  const described = await files.DescribeMediaInfos({ FileIds: ["12345"] });
  results.push({
    signMethod, reqMethod,
    room: rooms.RoomList[0].RoomString, users: users.UserList.map(user => user.UserId), quality: detail.Data.length,
    recorded: recorded.SdkAppIdUsages[0].SdkAppId, mixed: mixed.Usages[0].SdkAppId, days: scale.Total,
    found: found.TotalCount, unknown: described.NotExistFileIdSet,
    codes: [
      await code(call("StopMCUMixTranscode", { RoomId: 1001 })),
      await code(call("StartMCUMixTranscode", { RoomId: 1001, OutputParams: { StreamId: "no spaces" }, EncodeParams: {}, LayoutParams: { Template: 1 } })),
      await code(call("RemoveUser", { RoomId: 4242, UserIds: ["ann"] })),
      await code(call("DescribeTrtcUsage", { StartTime: today, EndTime: today })),
      await code(files.DeleteMedia({ FileId: "12345" })),
    ],
  });
}
console.log(JSON.stringify(results));
