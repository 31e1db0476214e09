import { defineConfig } from 'vite';

export default defineConfig({
  build: {
    rollupOptions: { input: ['index.html', 'player.html', 'device.html'] },
    chunkSizeWarningLimit: 900,
  },
});
