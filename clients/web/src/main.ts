import './ui/app'
