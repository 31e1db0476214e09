// A room in React: the state of the room by a hook, a component for each video.

import { useEffect, useRef, useState } from 'react';
import { LocalMedia, Room, Voices, attach, type Credentials, type Publisher, type Slot } from '@rotunda/sdk';

/** Enters the room while the component is mounted. */
function useRoom(url: string, credentials: Credentials, roomId: number | string) {
  const [room, setRoom] = useState<Room>();
  const [media, setMedia] = useState<LocalMedia>();
  const [publishers, setPublishers] = useState<Publisher[]>([]);
  const [error, setError] = useState<string>();
  useEffect(() => {
    let over = false;
    let end = () => {};
    Room.enter({ url, credentials, roomId }).then((entered) => {
      const [voices, local] = [new Voices(entered), new LocalMedia(entered)];
      end = () => {
        local.close();
        voices.close();
        void entered.leave();
      };
      if (over) return end();
      entered.on('changed', () => setPublishers([...entered.publishers.values()]));
      entered.on('closed', ({ message }) => setError(message));
      setPublishers([...entered.publishers.values()]);
      setRoom(entered);
      setMedia(local);
    }, (reason: Error) => setError(reason.message));
    return () => {
      over = true;
      end();
    };
  }, [url, credentials, roomId]);
  return { room, media, publishers, error };
}

function Video({ room, slot: { userId, source } }: { room: Room; slot: Slot }) {
  const element = useRef<HTMLVideoElement>(null);
  useEffect(() => (element.current ? attach(room, { userId, source }, element.current) : undefined), [room, userId, source]);
  return <video ref={element} aria-label={`${userId}, ${source}`} style={{ width: '100%' }} />;
}

export function RoomView({ url, credentials, roomId }: { url: string; credentials: Credentials; roomId: number | string }) {
  const { room, media, publishers, error } = useRoom(url, credentials, roomId);
  const [message, setMessage] = useState('');
  if (error) return <p role="alert">{error}</p>;
  if (!room || !media) return <p>Entering …</p>;
  const start = (source: 'audio' | 'camera' | 'screen') => media.start(source).catch((reason: Error) => setMessage(reason.message));
  return (
    <>
      <button onClick={() => start('audio')}>Microphone</button>
      <button onClick={() => start('camera')}>Camera</button>
      <button onClick={() => start('screen')}>Screen</button>
      <p role="status">{message}</p>
      {publishers.filter(({ userId, camera }) => camera === 'on' && userId !== room.userId).map(({ userId }) => (
        <Video key={userId} room={room} slot={{ userId, source: 'camera' }} />
      ))}
    </>
  );
}
