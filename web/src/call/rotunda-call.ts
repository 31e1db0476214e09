// The script for pages without a bundler: `<script type="module" src="https://…/rotunda-call.js">`.

import './index';
