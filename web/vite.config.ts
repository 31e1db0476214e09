import { defineConfig } from 'vite';

export default defineConfig({
  build: {
    rollupOptions: {
      input: ['index.html', 'player.html', 'device.html', 'console.html', 'call.html', 'src/call/rotunda-call.ts'],
      output: {
        // Pages of other sites name this script, so it has no hash.
        entryFileNames: ({ name }) => (name === 'rotunda-call' ? 'rotunda-call.js' : 'assets/[name]-[hash].js'),
      },
    },
    chunkSizeWarningLimit: 900,
  },
});
